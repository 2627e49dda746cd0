import type { ServerResponse } from "node:http";
import type { Connect, Plugin } from "vite";
import { defineConfig } from "vite";

/** What your server does in real life: it knows its user, and has Roomcast make a token. The API key stays there. */
function tokens(): Plugin {
  const { ROOMCAST_API_KEY = "", ROOMCAST_URL = "http://127.0.0.1:8000" } = process.env;
  const answer = async (request: Connect.IncomingMessage, response: ServerResponse) => {
    const user = new URL(request.url ?? "", "http://localhost").searchParams.get("user");
    const made = await fetch(`${ROOMCAST_URL}/v1/tokens`, {
      method: "POST",
      headers: { Authorization: `Bearer ${ROOMCAST_API_KEY}`, "Content-Type": "application/json" },
      body: JSON.stringify({ user, rooms: { "chat:*": ["*"] }, ttl_seconds: 600 }),
    });
    const { token, detail } = (await made.json()) as { token?: string; detail?: string };
    response.statusCode = made.ok ? 200 : made.status;
    response.end(token ?? detail);
  };
  const use = ({ middlewares }: { middlewares: Connect.Server }) => {
    middlewares.use("/token", (request, response, next) => void answer(request, response).catch(next));
  };
  return { name: "tokens", configureServer: use, configurePreviewServer: use };
}

export default defineConfig({
  plugins: [tokens()],
  // The client is linked from this repository, where another React lies beside it, the one that it is tested with.
  resolve: { dedupe: ["react"] },
});
