import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";
import type { ServerEvent } from "../../src/wire.js";

export type Frame = Record<string, unknown>;

/** One socket of a client, as the server has it. */
export class ServerSocket {
  readonly #socket: WebSocket;
  readonly #frames: Frame[] = [];
  #wake: () => void = () => {};

  constructor(
    socket: WebSocket,
    readonly token: string,
  ) {
    this.#socket = socket;
    socket.on("message", (data) => {
      this.#frames.push(JSON.parse(String(data)));
      this.#wake();
    });
  }

  send(event: ServerEvent | Frame): void {
    this.#socket.send(JSON.stringify(event));
  }

  close(code: number): void {
    this.#socket.close(code);
  }

  drop(): void {
    this.#socket.terminate();
  }

  get isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  closed(): Promise<unknown> {
    return this.isOpen ? once(this.#socket, "close") : Promise.resolve();
  }

  /** The next command, or null if none comes in time. */
  next(withinMs = 5_000): Promise<Frame | null> {
    return within(withinMs, (wake) => {
      this.#wake = wake;
      return this.#frames.shift();
    });
  }
}

/** A WebSocket server that does nothing by itself. */
export class ScriptedServer {
  readonly #http = createServer();
  readonly #server = new WebSocketServer({ server: this.#http, handleProtocols: () => "roomcast.v1.json" });
  readonly #sockets: ServerSocket[] = [];
  #wake: () => void = () => {};

  constructor() {
    this.#server.on("connection", (socket, request) => {
      const offered = String(request.headers["sec-websocket-protocol"]).split(/, ?/);
      const token = offered.find((name) => name.startsWith("roomcast.token."))?.slice("roomcast.token.".length);
      this.#sockets.push(new ServerSocket(socket, token ?? ""));
      this.#wake();
    });
  }

  async start(): Promise<this> {
    this.#http.listen(0, "127.0.0.1");
    await once(this.#http, "listening");
    return this;
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#http.address() as AddressInfo).port}/v1/connect`;
  }

  /** The next socket, or null if none comes in time. */
  accept(withinMs = 5_000): Promise<ServerSocket | null> {
    return within(withinMs, (wake) => {
      this.#wake = wake;
      return this.#sockets.shift();
    });
  }

  stop(): void {
    for (const client of this.#server.clients) client.terminate();
    this.#server.close();
    this.#http.close();
  }
}

/** What `take` gives, asked again at each `wake`, until time is up. */
export async function within<Item>(ms: number, take: (wake: () => void) => Item | undefined): Promise<Item | null> {
  const deadline = performance.now() + ms;
  for (;;) {
    let wake = () => {};
    const woken = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const item = take(wake);
    if (item !== undefined) return item;
    const left = deadline - performance.now();
    if (left <= 0) return null;
    const timer = setTimeout(wake, left);
    await woken;
    clearTimeout(timer);
  }
}

export const WELCOME = {
  type: "welcome",
  version: 1,
  connection: "1NmVxU_IO-WUox0n4s8mfw",
  user: "alice",
  tenant: "demo",
  node: "n1",
  expires_at_ms: 32503680000000,
  ping_interval_seconds: 25,
  features: [],
  limits: {
    max_message_bytes: 65_536,
    max_frame_bytes: 73_728,
    max_state_bytes: 1_024,
    max_rooms_per_connection: 100,
    commands_per_second: 50,
    commands_burst: 100,
  },
} as const;

/** `joined`, as for the command. */
export const joined = (command: Frame | null, fields: Frame = {}): Frame => ({
  type: "joined",
  id: command?.id,
  room: command?.room,
  position: "e:0",
  recovered: command?.since ? true : null,
  occupancy: { connections: 1, users: 1 },
  ...fields,
});
