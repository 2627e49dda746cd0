import { Backoff } from "./backoff.js";
import type { Connection } from "./connection.js";
import { isTemporary, RoomcastError, refusal } from "./errors.js";
import { Pace } from "./pace.js";
import type { Command, ErrorEvent, ServerEvent } from "./wire.js";

/**
 * How a command outlives its connection.
 * - `connection`: not at all, and it goes before all others (join, leave, authenticate, ping).
 * - `repeatable`: sent again on the next one, in the old order (publishes with their key, reads, states).
 * - `once`: sent again only if it surely did nothing (`send`).
 */
export type Endurance = "connection" | "repeatable" | "once";

/** Bounds of all publishes that have no answer yet; one more is refused with `queue_full`. */
export interface QueueOptions {
  /** Default 1,000. */
  messages?: number;
  /** Of their frames, UTF-8; default 1 MiB. */
  bytes?: number;
}

// The server remembers a key for 300 s from the first publish. A repetition must be there before, so it must have left
// before; an older one of unknown outcome is never sent again.
const KEY_LIFE_MS = 270_000;
const FOREVER = 24 * 3_600_000;

interface Entry {
  id: number;
  endurance: Endurance;
  room: string;
  frame: string;
  bytes: number;
  isBounded: boolean;
  answered: (event: never) => void;
  refused: (error: RoomcastError) => void;
  isSent: boolean;
  /** Both by `Date.now()`; 0: never. */
  firstSentAt: number;
  sentAt: number;
  /** Sent more than once on this connection. */
  isRepeated: boolean;
  timer: ReturnType<typeof setTimeout> | undefined;
  backoff: Backoff;
}

export interface Waiting<Reply> {
  command: Command;
  endurance: Endurance;
  answered?: (event: Reply) => void;
  refused?: (error: RoomcastError) => void;
}

const encoder = new TextEncoder();
const sizeOf = (frame: string): number => encoder.encode(frame).length;

/** Commands that wait for their answer, in the order of their making; sent, sent again, and given up by rule. */
export class Queue {
  readonly #connection: Connection;
  readonly #ackTimeout: number;
  readonly #bounds: Required<QueueOptions>;
  readonly #pace = new Pace(() => this.flush());
  #entries: Entry[] = [];
  #ids = 0;
  #held = new Map<string, ReturnType<typeof setTimeout>>(); // rooms whose commands wait after a temporary refusal
  #messages = 0;
  #bytes = 0;

  constructor(connection: Connection, ackTimeout: number, { messages = 1_000, bytes = 1_048_576 }: QueueOptions = {}) {
    this.#connection = connection;
    this.#ackTimeout = ackTimeout;
    this.#bounds = { messages, bytes };
  }

  /** `add` as a promise. */
  ask<Reply extends ServerEvent>(command: Command, endurance: Endurance): Promise<Reply> {
    return new Promise<Reply>((answered, refused) => this.add({ command, endurance, answered, refused }));
  }

  /** The callbacks are called while the frame of the answer is handled, before the frame after it. */
  add<Reply>({ command, endurance, answered, refused }: Waiting<Reply>): void {
    const id = ++this.#ids;
    const frame = JSON.stringify({ ...command, id });
    const bytes = sizeOf(frame);
    const isBounded = command.type === "publish";
    const entry: Entry = {
      id,
      endurance,
      room: "room" in command ? command.room : "",
      frame,
      bytes,
      isBounded,
      answered: answered ?? (() => {}),
      refused: refused ?? (() => {}),
      isSent: false,
      firstSentAt: 0,
      sentAt: 0,
      isRepeated: false,
      timer: undefined,
      backoff: new Backoff(),
    };
    if (isBounded && (this.#messages >= this.#bounds.messages || this.#bytes + bytes > this.#bounds.bytes)) {
      entry.refused(
        new RoomcastError("queue_full", "too many publishes wait for an answer", { limit: "offlineQueue" }),
      );
      return;
    }
    this.#insert(entry);
    this.flush();
  }

  #insert(entry: Entry): void {
    const first = this.#entries.findIndex(({ endurance }) => endurance !== "connection");
    if (entry.endurance !== "connection" || first < 0) this.#entries.push(entry);
    else this.#entries.splice(first, 0, entry);
    if (!entry.isBounded) return;
    this.#messages++;
    this.#bytes += entry.bytes;
  }

  /** True if the event answered a command of this queue. */
  receive(event: ServerEvent): boolean {
    const id = "id" in event ? event.id : undefined;
    const entry = this.#entries.find((waiting) => waiting.id === id);
    if (!entry) return false;
    if (event.type === "error" && isTemporary(event.code, entry.endurance !== "once")) this.#hold(entry, event);
    else {
      this.#remove(entry);
      if (event.type === "error") entry.refused(refusal(event));
      else entry.answered(event as never);
      this.flush();
    }
    return true;
  }

  /** The connection is new: its limits count from now on. The joins must have been added. */
  opened(): void {
    this.#pace.reset(this.#connection.welcome?.limits);
    this.flush();
  }

  /** The connection is gone. What may be sent again waits for the next one. */
  lost(): void {
    this.#release();
    for (const entry of [...this.#entries]) {
      if (entry.endurance === "connection") this.#refuse(entry, "connection_lost", "the connection ended");
      else if (entry.isSent && entry.endurance === "once") this.#refuse(entry, "outcome_unknown", "no answer came");
      else {
        this.#unsend(entry);
        entry.isRepeated = false;
      }
    }
  }

  close(error: RoomcastError): void {
    this.#release();
    for (const entry of [...this.#entries]) {
      this.#remove(entry);
      entry.refused(error);
    }
  }

  /** Send a command that has no answer and is not kept; false if it can't be sent now. */
  sendOnce(command: Command): boolean {
    const { welcome } = this.#connection;
    const frame = JSON.stringify(command);
    if (!welcome || sizeOf(frame) > (welcome.limits.max_frame_bytes ?? Infinity) || !this.#pace.spend()) return false;
    this.#connection.send(frame);
    return true;
  }

  flush(): void {
    const limits = this.#connection.welcome?.limits;
    if (!limits) return;
    for (const entry of [...this.#entries]) {
      if (entry.isSent || this.#held.has(entry.room)) continue;
      if (entry.bytes > (limits.max_frame_bytes ?? Infinity))
        this.#refuseSize(entry); // or it would be the end: 1009
      else if (this.#isStale(entry)) this.#refuse(entry, "outcome_unknown", "no answer came for too long");
      else if (this.#pace.spend()) this.#send(entry);
      else return;
    }
  }

  #send(entry: Entry): void {
    if (!this.#connection.welcome) return; // closed by the application, in a handler of this loop
    entry.isSent = true;
    entry.sentAt = Date.now();
    entry.firstSentAt ||= entry.sentAt;
    entry.timer = setTimeout(() => this.#missed(entry), this.#ackTimeout);
    this.#connection.send(entry.frame);
  }

  /** The server answers within 1.5 s. A socket on which a repetition was followed by nothing at all is dead. */
  #missed(entry: Entry): void {
    const isSilent = entry.isRepeated && this.#connection.heardAt < entry.sentAt;
    if (isSilent || entry.endurance !== "repeatable") this.#connection.drop();
    else {
      this.#unsend(entry);
      entry.isRepeated = true;
      this.flush();
    }
  }

  #hold(entry: Entry, { retry_after_ms }: ErrorEvent): void {
    this.#unsend(entry);
    clearTimeout(this.#held.get(entry.room));
    const release = () => {
      this.#held.delete(entry.room);
      this.flush();
    };
    this.#held.set(entry.room, setTimeout(release, (retry_after_ms ?? 0) + entry.backoff.next()));
  }

  #release(): void {
    for (const timer of this.#held.values()) clearTimeout(timer);
    this.#held.clear();
    this.#pace.stop();
  }

  #unsend(entry: Entry): void {
    clearTimeout(entry.timer);
    entry.isSent = false;
  }

  #isStale(entry: Entry): boolean {
    const life = entry.isBounded ? KEY_LIFE_MS : FOREVER;
    return entry.firstSentAt > 0 && Math.abs(Date.now() - entry.firstSentAt) > life;
  }

  #refuse(entry: Entry, code: "connection_lost" | "outcome_unknown", message: string): void {
    this.#remove(entry);
    entry.refused(new RoomcastError(code, message));
  }

  #refuseSize(entry: Entry): void {
    this.#remove(entry);
    entry.refused(new RoomcastError("too_large", "over max_frame_bytes", { limit: "max_frame_bytes" }));
  }

  #remove(entry: Entry): void {
    clearTimeout(entry.timer);
    this.#entries = this.#entries.filter((other) => other !== entry);
    if (!entry.isBounded) return;
    this.#messages--;
    this.#bytes -= entry.bytes;
  }
}
