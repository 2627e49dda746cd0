import { Audience } from "./audience.js";
import type { DataOf, NameOf, RoomShape, UntypedRoom } from "./contract.js";
import { Cursor } from "./cursor.js";
import { RoomcastError, refusal } from "./errors.js";
import { makeKey } from "./key.js";
import { Presence } from "./presence.js";
import type { Queue } from "./queue.js";
import type { History, MessageOf, Receipt, RoomEvents, RoomOptions, RoomStatus } from "./room_types.js";
import type { Stream } from "./stream.js";
import type { Command, Gap, HistoryPage, Joined, Position, Published, ServerEvent } from "./wire.js";

/** What a room asks of its client. */
export interface RoomHost {
  readonly queue: Queue;
  /** Whether commands are sent now. */
  isConnected(): boolean;
  start(): void;
}

/** A named place, made by `client.room()`: one object for each name. */
export class Room<Shape extends RoomShape = UntypedRoom> {
  status: RoomStatus = "left";
  /** Why the last join failed, or null. */
  error: RoomcastError | null = null;
  readonly presence: Presence<Shape["state"]>;

  readonly #host: RoomHost;
  readonly #audience = new Audience<Shape>();
  #cursor = new Cursor();
  #joins = 0; // an answer to any but the last is late
  #wasJoined = false;
  #recover = true;
  #watch = false;
  #state: unknown;
  #stateWaiters: Waiter[] = [];

  /** @internal */
  constructor(
    host: RoomHost,
    readonly name: string,
  ) {
    this.#host = host;
    const setState = (state: unknown) => this.#setState(state);
    this.presence = new Presence({ name, watch: () => this.#startWatching(), setState }, host.queue);
  }

  /** That of the last message, own publish or gap that was delivered: what a next session may give as `since`. */
  get position(): Position | null {
    return this.#cursor.position;
  }

  // Being in the room

  /**
   * Be in the room from now on, over reconnects too. Options that are given count from the next join on; `watch` at once.
   * `client.room()` has done this unless told not to. Needed again after `left` or a refusal.
   */
  join(options: Omit<RoomOptions<Shape["state"]>, "join"> = {}): void {
    if (options.recover !== undefined) this.#recover = options.recover;
    if ("state" in options) this.#state = options.state;
    if (options.watch) this.#startWatching();
    if (this.status !== "left") return;
    if (options.since !== undefined) this.#cursor = new Cursor(options.since);
    try {
      this.#host.start();
    } catch (error) {
      this.#out(error as RoomcastError);
      return;
    }
    this.#setStatus("joining");
    this.opened();
  }

  /** Leave, and forget the position. */
  leave(): void {
    if (this.status === "left") return;
    if (this.#host.isConnected())
      this.#host.queue.add({ command: { type: "leave", room: this.name }, endurance: "connection" });
    this.#out(null);
    this.#cursor = new Cursor();
    this.#wasJoined = false;
    this.#audience.end(null);
  }

  // Sending

  /**
   * Resolves with the message's position (null in rooms without history) once the server has it. It waits for a
   * connection and is repeated until there is an answer, always as one message. Rejects with what the server refuses,
   * or `queue_full`, `outcome_unknown`, `closed`. `echo` (default true): it is also received here, in its place.
   */
  publish<Name extends NameOf<Shape["messages"], Shape["additional"]>>(
    name: Name,
    data: DataOf<Shape["messages"], Name>,
    { echo = true, key = makeKey() }: { echo?: boolean; key?: string } = {},
  ): Promise<Receipt> {
    const command = {
      type: "publish",
      room: this.name,
      data,
      key,
      echo,
      ...(name !== null && { name: name as string }),
    };
    return this.#ask<Published>(command as Command).then(({ position, duplicate }) => ({ position, duplicate }));
  }

  /** Send what is never kept. At most once: false if it can't be sent now. Refusals come as `error` events. */
  signal<Name extends NameOf<Shape["signals"], Shape["additional"]>>(
    name: Name,
    data: DataOf<Shape["signals"], Name>,
    { echo = false }: { echo?: boolean } = {},
  ): boolean {
    if (this.status !== "joined") return false;
    const named = name === null ? {} : { name: name as string };
    return this.#host.queue.sendOnce({ type: "signal", room: this.name, data, ...named, ...(echo && { echo }) });
  }

  // Receiving

  /** Hear `event`; returns how to stop. */
  on<Event extends keyof RoomEvents<Shape> & string>(
    event: Event,
    handler: (value: RoomEvents<Shape>[Event]) => void,
  ): () => void {
    return this.#audience.on(event, handler);
  }

  /** Messages and gaps from now on, until `leave` or the client's end. `limit`: how many may wait for the reader. */
  stream({ limit = 1_000 }: { limit?: number } = {}): Stream<MessageOf<Shape> | Gap> {
    return this.#audience.stream(limit);
  }

  /** A page of kept messages: the first after `since`, or the last before `before` or the head. */
  async history(range: { since?: Position; before?: Position; limit?: number } = {}): Promise<History<Shape>> {
    const command: Command = { type: "history", room: this.name, ...range };
    const { messages, position, more, complete } = await this.#ask<HistoryPage>(command);
    const epoch = position?.slice(0, position.lastIndexOf(":"));
    const shown = messages.map((message) => ({
      ...message,
      type: "message",
      room: this.name,
      position: `${epoch}:${message.offset}`,
    }));
    return { messages: shown as unknown as MessageOf<Shape>[], position, more, complete };
  }

  // What the client tells

  /** @internal The connection is new, or how to join is. */
  opened(): void {
    if (this.status === "left" || !this.#host.isConnected()) return;
    const join = ++this.#joins;
    this.#setStatus("joining");
    const state = this.#state;
    const since = this.#recover || !this.#wasJoined ? this.#cursor.position : null;
    this.#host.queue.add<Joined>({
      command: {
        type: "join",
        room: this.name,
        ...(since !== null && { since }),
        ...(this.#watch && { watch: true }),
        ...(state !== undefined && { state }),
      },
      endurance: "connection",
      answered: (event) => join === this.#joins && this.#joined(event, since !== null, state),
      refused: (error) => join === this.#joins && !isEnd(error) && this.#out(error),
    });
  }

  /** @internal */
  lost(): void {
    if (this.status === "joined") this.#setStatus("joining");
  }

  /** @internal The token has new rights: what an earlier one did not allow may be allowed now. */
  allowed(): void {
    if (this.error?.code === "forbidden") this.join();
  }

  /** @internal Before our own `joined`, what comes belongs to an earlier membership or the token's claim `join`. */
  receive(event: ServerEvent): void {
    if (this.status !== "joined") return;
    switch (event.type) {
      case "message":
        if (this.#cursor.message(event.offset))
          this.#audience.message(event, event.offset === undefined ? null : this.position);
        break;
      case "signal":
        this.#audience.signal(event);
        break;
      case "published":
        this.#cursor.published(event.position, event.duplicate);
        break;
      case "gap":
        this.#cursor.gap(event.to);
        this.#audience.gap(event);
        break;
      case "presence":
      case "occupancy":
        this.presence.receive(event);
        this.#audience.tell(event.type, event);
        break;
      case "left":
        this.#audience.tell("left", event);
        this.#out(
          event.reason === "rights"
            ? new RoomcastError("forbidden", "the token's rights changed", { room: this.name })
            : null,
        );
        break;
      case "error":
        this.#audience.tell("error", refusal(event));
    }
  }

  /** @internal The client is closed. */
  ended(error: RoomcastError): void {
    if (this.status !== "left") this.#out(error);
    this.#audience.end(error);
  }

  #joined(event: Joined, isRecovery: boolean, state: unknown): void {
    const before = this.#cursor.position;
    this.#cursor.joined(event.position, event.recovered);
    this.#setStatus("joined");
    this.presence.joined(event);
    this.#audience.tell("joined", event);
    const waiters = this.#stateWaiters.splice(0);
    // Set while the join was under way: it carried the one before.
    const settled = state === this.#state ? Promise.resolve() : this.#setState(this.#state);
    for (const { resolve, reject } of waiters) settled.then(resolve, reject);
    settled.catch(() => {}); // nobody waits for a state that came with `join`
    // Without a position nobody can say what was missed meanwhile; that it may be so must be said all the same.
    if (this.#wasJoined && this.#recover && !isRecovery)
      this.#audience.gap({ type: "gap", room: this.name, from: before, to: event.position, reason: "unstored" });
    this.#wasJoined = true;
  }

  #out(error: RoomcastError | null): void {
    this.#joins++;
    this.error = error;
    this.#setStatus("left");
    const reason = error ?? new RoomcastError("not_joined", "the room was left", { room: this.name });
    for (const waiter of this.#stateWaiters.splice(0)) waiter.reject(reason);
    if (error) this.#audience.tell("error", error);
  }

  async #ask<Reply extends ServerEvent>(command: Command): Promise<Reply> {
    this.#host.start();
    return this.#host.queue.ask<Reply>(command, "repeatable");
  }

  async #setState(state: unknown): Promise<void> {
    this.#state = state;
    if (this.status === "joined") {
      await this.#host.queue.ask({ type: "set_state", room: this.name, state }, "connection").catch((error) => {
        if (error.code !== "connection_lost") throw error;
        return this.#nextJoin(); // which carries the state
      });
    } else await this.#nextJoin();
  }

  #startWatching(): void {
    if (this.#watch) return;
    this.#watch = true;
    if (this.status !== "left") this.opened();
  }

  #nextJoin(): Promise<void> {
    return new Promise((resolve, reject) => this.#stateWaiters.push({ resolve, reject }));
  }

  #setStatus(status: RoomStatus): void {
    if (this.status === status) return;
    this.status = status;
    if (status === "joining") this.error = null;
    this.#audience.tell("status", status);
  }
}

/** Of the connection, not of the room: `lost` or `ended` deals with it. */
const isEnd = ({ code }: RoomcastError): boolean => code === "connection_lost" || code === "closed";

interface Waiter {
  resolve(): void;
  reject(error: RoomcastError): void;
}
