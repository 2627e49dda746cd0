import { api, type Schemas, take } from "./api/client";
import { socketUrl } from "./useStream";

/** One frame, as it went over the wire. */
export interface Frame {
  id: number;
  direction: "in" | "out" | "note";
  atMs: number;
  bytes: number;
  text: string;
}

export type Rights = NonNullable<Schemas["TokenBody"]["rooms"]>;

export interface WireState {
  frames: readonly Frame[];
  status: "closed" | "connecting" | "open";
  /** The last position of each room that was joined: what `since` may be. */
  positions: ReadonlyMap<string, string>;
}

const KEPT = 500;
const encoder = new TextEncoder();
/** A browser can't tear a connection, only close it with 1000 or a code of one's own; members go at once, without grace. */
const CUT = 4000;
const TOKEN_SECONDS = 3600;

/** A plain socket, and all that it says; shown once a frame of the screen. */
export class Wire {
  #socket: WebSocket | null = null;
  #frames: Frame[] = [];
  #positions = new Map<string, string>();
  #status: WireState["status"] = "closed";
  #count = 0;
  #planned = 0;

  constructor(readonly show: (state: WireState) => void) {}

  async connect(user: string, rooms: Rights, since: boolean): Promise<void> {
    this.cut();
    this.#become("connecting");
    try {
      const body = { user, rooms, send: true, ttl_seconds: TOKEN_SECONDS };
      const { token } = await take(api.POST("/v1/tokens", { body }));
      this.#open(token, since ? new Map(this.#positions) : new Map());
    } catch (error) {
      this.#note((error as Error).message);
      this.#become("closed");
    }
  }

  #open(token: string, rejoined: ReadonlyMap<string, string>): void {
    const socket = new WebSocket(socketUrl(), ["roomcast.v1.json", `roomcast.token.${token}`]);
    this.#socket = socket;
    socket.onopen = () => {
      this.#become("open");
      for (const [room, since] of rejoined) this.send(JSON.stringify({ type: "join", id: `again ${room}`, room, since }));
    };
    socket.onmessage = ({ data }) => this.#receive(String(data));
    socket.onclose = ({ code, reason }) => {
      if (this.#socket !== socket) return;
      this.#note(`closed with ${code}${reason && `: ${reason}`}`);
      this.#become("closed");
      this.#socket = null;
    };
  }

  send(text: string): void {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#socket.send(text);
    this.#add("out", text);
  }

  cut(): void {
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onmessage = null;
    socket.close(CUT, "cut by the inspector");
    this.#note("cut off");
    this.#become("closed");
  }

  clear(): void {
    this.#frames = [];
    this.#plan();
  }

  #receive(text: string): void {
    this.#add("in", text);
    const event = JSON.parse(text) as { type?: string; room?: string; position?: string; offset?: number; to?: string };
    const { room } = event;
    if (!room) return;
    const position = event.type === "gap" ? event.to : event.position;
    if (event.type === "left") this.#positions.delete(room);
    else if (position && ["joined", "published", "gap"].includes(event.type ?? "")) this.#positions.set(room, position);
    else if (event.type === "message" && event.offset !== undefined) this.#moveTo(room, event.offset);
  }

  #moveTo(room: string, offset: number): void {
    const epoch = this.#positions.get(room)?.split(":")[0];
    if (epoch) this.#positions.set(room, `${epoch}:${offset}`);
  }

  #note(text: string): void {
    this.#add("note", text);
  }

  #add(direction: Frame["direction"], text: string): void {
    const bytes = direction === "note" ? 0 : encoder.encode(text).length;
    this.#frames.push({ id: ++this.#count, direction, atMs: Date.now(), bytes, text });
    if (this.#frames.length > 2 * KEPT) this.#frames = this.#frames.slice(-KEPT);
    this.#plan();
  }

  #become(status: WireState["status"]): void {
    this.#status = status;
    this.#plan();
  }

  #plan(): void {
    this.#planned ||= requestAnimationFrame(() => {
      this.#planned = 0;
      const frames = this.#frames.slice(-KEPT);
      this.show({ frames, status: this.#status, positions: new Map(this.#positions) });
    });
  }
}
