import { createClient } from "@roomcast/client";
import { RealtimeProvider } from "@roomcast/client/react";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Chat } from "./Chat.js";
import type { Contract } from "./contract.js";

declare module "@roomcast/client" {
  interface Register {
    contract: Contract; // types every room, in every hook
  }
}

const query = new URLSearchParams(location.search);
const user = query.get("user") ?? "alice";

const client = createClient({
  url: query.get("url") ?? "ws://127.0.0.1:8000/v1/connect",
  // Your server knows who is logged in, and has a token made for that user; here it believes the page (vite.config.ts).
  getToken: async () => {
    const answer = await fetch(`/token?user=${encodeURIComponent(user)}`, { method: "POST" });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.text();
  },
});

createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <RealtimeProvider client={client}>
      <Chat name="lobby" />
    </RealtimeProvider>
  </StrictMode>,
);
