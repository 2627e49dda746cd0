import { Backoff, type BackoffOptions } from "./backoff.js";
import { ABNORMAL, type AfterClose, afterClose, NEEDS_TOKEN } from "./closes.js";
import { RoomcastError } from "./errors.js";
import { type Closing, type ServerEvent, SUBPROTOCOL, type Welcome } from "./wire.js";

/** `waiting`: for the moment to come back. `closed`: by you, or by the server for good. */
export type Status = "idle" | "connecting" | "connected" | "waiting" | "closed";

/** Why a token is wanted: `rejected` means that the last one was not good (any more), so a cached one won't do. */
export type TokenReason = "connect" | "expiring" | "rejected";
export type GetToken = (reason: TokenReason) => string | Promise<string>;

/** As much of a browser's WebSocket as is used. */
export interface Socket {
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  onerror: (() => void) | null;
  send(text: string): void;
  close(code?: number): void;
}
export type SocketConstructor = new (url: string, protocols: string[]) => Socket;

export interface ConnectionListener {
  opened(welcome: Welcome): void;
  received(event: ServerEvent): void;
  /** It was open, and is no more; it may come back. */
  lost(): void;
  statusChanged(status: Status): void;
  /** It will not come back by itself. */
  closed(error: RoomcastError): void;
  failed(error: unknown): void;
}

export interface ConnectionOptions {
  url: string;
  getToken: GetToken;
  backoff?: BackoffOptions;
  WebSocket?: SocketConstructor;
}

const CONNECT_TIMEOUT_MS = 15_000;
const CLOSE_TIMEOUT_MS = 3_000; // the close comes within 1 s of `closing`
const STABLE_MS = 5_000; // one that lived shorter does not reset the backoff

/** One socket after another, each from its token to its close. */
export class Connection {
  status: Status = "idle";
  /** Of the socket that is open, else null. */
  welcome: Welcome | null = null;
  /** When the last frame came, by `Date.now()`. */
  heardAt = 0;

  readonly #options: ConnectionOptions;
  readonly #listener: ConnectionListener;
  readonly #backoff: Backoff;
  #socket: Socket | null = null;
  #closing: Closing | null = null;
  #tokenReason: TokenReason = "connect";
  #welcomedAt = 0;
  #run = 0; // counts sockets: whatever belongs to an earlier one is ignored
  #timer: ReturnType<typeof setTimeout> | undefined;
  #mayHurry = false;

  constructor(options: ConnectionOptions, listener: ConnectionListener) {
    this.#options = options;
    this.#listener = listener;
    this.#backoff = new Backoff(options.backoff);
  }

  open(): void {
    if (this.status !== "idle" && this.status !== "closed") return;
    this.#backoff.reset();
    void this.#dial();
  }

  /** End it for good. */
  close(): void {
    this.#end(1000);
    this.#close(new RoomcastError("closed", "the client was closed"));
  }

  /** Give up a socket that is as good as dead, without waiting for its close, and come back. */
  drop(): void {
    if (this.#socket) this.#lost(ABNORMAL, "no answer");
  }

  /** Something tells that the network is back: don't wait any longer, unless the server said how long. */
  hurry(): void {
    if (this.status === "waiting" && this.#mayHurry) void this.#dial();
  }

  send(frame: string): void {
    this.#socket?.send(frame);
  }

  async #dial(): Promise<void> {
    clearTimeout(this.#timer);
    const run = ++this.#run;
    this.#setStatus("connecting");
    this.#timer = setTimeout(() => this.#lost(ABNORMAL, "connecting took too long"), CONNECT_TIMEOUT_MS);
    try {
      const token = await this.#options.getToken(this.#tokenReason);
      if (run !== this.#run) return;
      const WebSocket = this.#options.WebSocket ?? (globalThis.WebSocket as unknown as SocketConstructor);
      const socket = new WebSocket(this.#options.url, [SUBPROTOCOL, `roomcast.token.${token}`]);
      this.#socket = socket;
      socket.onmessage = ({ data }) => this.#receive(data as string);
      socket.onerror = () => {}; // a close follows; the package `ws` ends the process if nobody listens
      socket.onclose = ({ code, reason }) => this.#lost(code, reason);
    } catch (error) {
      if (run !== this.#run) return;
      this.#listener.failed(error);
      this.#lost(ABNORMAL, "no token or no socket");
    }
  }

  #receive(frame: string): void {
    const event: ServerEvent = JSON.parse(frame);
    this.heardAt = Date.now();
    if (event.type === "welcome") {
      clearTimeout(this.#timer);
      this.#tokenReason = "connect";
      this.#welcomedAt = Date.now();
      this.welcome = event;
      this.#setStatus("connected");
      this.#listener.opened(event);
    } else if (event.type === "closing") {
      clearTimeout(this.#timer);
      this.#closing = event;
      this.#timer = setTimeout(() => this.#lost(event.code, event.reason), CLOSE_TIMEOUT_MS);
    } else this.#listener.received(event);
  }

  #lost(closeCode: number, reason: string): void {
    const closing = this.#closing;
    const code = closing?.code ?? closeCode;
    const wasOpen = this.#end(4000);
    const next = afterClose(code, closing);
    if (next === "stop") {
      this.#close(new RoomcastError("closed", `the server closed for good: ${code} ${closing?.reason ?? reason}`));
      return;
    }
    if (code === NEEDS_TOKEN) this.#tokenReason = "rejected";
    this.#mayHurry = !closing;
    this.#timer = setTimeout(() => void this.#dial(), this.#delay(next, closing));
    this.#setStatus("waiting");
    if (wasOpen) this.#listener.lost();
  }

  /** In ms. A server that tells us to come back at once, again and again, is not taken at its word. */
  #delay(next: AfterClose, closing: Closing | null): number {
    if (this.#welcomedAt && Date.now() - this.#welcomedAt > STABLE_MS) this.#backoff.reset();
    this.#welcomedAt = 0;
    const isFirst = this.#backoff.tries === 0;
    const jitter = this.#backoff.next();
    return (closing?.after_ms ?? 0) + (next === "as told" && isFirst ? 0 : jitter);
  }

  /** Let go of the socket; true if it was open. */
  #end(code: number): boolean {
    clearTimeout(this.#timer);
    this.#run++;
    const socket = this.#socket;
    const wasOpen = this.welcome !== null;
    this.#socket = this.welcome = this.#closing = null;
    if (socket) {
      socket.onmessage = socket.onclose = null;
      socket.close(code);
    }
    return wasOpen;
  }

  #close(error: RoomcastError): void {
    if (this.status === "closed") return;
    this.#setStatus("closed");
    this.#listener.closed(error);
  }

  #setStatus(status: Status): void {
    if (this.status === status) return;
    this.status = status;
    this.#listener.statusChanged(status);
  }
}
