import { WebSocket } from "ws";
import { type Client, type ClientOptions, createClient, type SocketConstructor } from "../../src/index.js";
import { type Frame, ScriptedServer, type ServerSocket, WELCOME } from "./scripted_server.js";

export const NodeWebSocket = WebSocket as unknown as SocketConstructor;

/** A server and a client of it; both end with the test. */
export async function pair(
  context: { after(end: () => void): void },
  options: Partial<ClientOptions> = {},
): Promise<{ server: ScriptedServer; client: Client<{}>; accept: (welcome?: Frame) => Promise<ServerSocket> }> {
  const server = await new ScriptedServer().start();
  const client = createClient<{}>({
    url: server.url,
    getToken: () => "t1",
    backoff: { initial: 5, max: 10 },
    WebSocket: NodeWebSocket,
    ...options,
  });
  context.after(() => {
    client.close();
    server.stop();
  });
  const accept = async (welcome: Frame = WELCOME) => {
    const socket = await server.accept();
    if (!socket) throw new Error("no connection came");
    socket.send(welcome);
    return socket;
  };
  return { server, client, accept };
}

/** Resolves when `look` is true; tried each 2 ms for 5 s. */
export async function until(look: () => boolean): Promise<void> {
  const deadline = Date.now() + 5_000;
  while (!look()) {
    if (Date.now() > deadline) throw new Error("it did not come to be");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
