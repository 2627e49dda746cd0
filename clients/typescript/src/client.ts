import { Connection, type ConnectionOptions, type Status } from "./connection.js";
import type { ContractShape, RegisteredContract, RoomOf } from "./contract.js";
import { Emitter } from "./emitter.js";
import { type RoomcastError, refusal } from "./errors.js";
import { Heartbeat } from "./heartbeat.js";
import { Queue, type QueueOptions } from "./queue.js";
import { Room, type RoomHost } from "./room.js";
import type { RoomOptions } from "./room_types.js";
import { Tokens } from "./tokens.js";
import type { Direct, ServerEvent, Welcome } from "./wire.js";

export interface ClientOptions extends ConnectionOptions {
  /**
   * ms without an answer after which a command's outcome counts as unknown; default 10,000. A silent connection is
   * replaced then, and what is safe to repeat is sent again.
   */
  ackTimeout?: number;
  /** Bounds of the publishes that wait for an answer, online or not. */
  offlineQueue?: QueueOptions;
}

export interface ClientEvents {
  status: Status;
  welcome: Welcome;
  direct: Direct;
  /** A refusal that belongs to no promise, or what `getToken` threw. */
  error: unknown;
}

/** One user's connection, kept up over losses. It connects when first needed. */
export class Client<Contract extends ContractShape<Contract> = RegisteredContract> {
  readonly #connection: Connection;
  readonly #queue: Queue;
  readonly #tokens: Tokens;
  readonly #heartbeat: Heartbeat;
  readonly #emitter = new Emitter<ClientEvents>();
  readonly #rooms = new Map<string, Room<never>>();
  readonly #host: RoomHost;
  #error: RoomcastError | null = null;

  constructor(options: ClientOptions) {
    const { ackTimeout = 10_000, offlineQueue, getToken } = options;
    this.#connection = new Connection(options, {
      opened: (welcome) => this.#opened(welcome),
      received: (event) => this.#receive(event),
      lost: () => this.#lost(),
      closed: (error) => this.#closed(error),
      statusChanged: (status) => this.#emitter.emit("status", status),
      failed: (error) => this.#emitter.emit("error", error),
    });
    this.#queue = new Queue(this.#connection, ackTimeout, offlineQueue);
    this.#tokens = new Tokens(
      this.#connection,
      this.#queue,
      getToken,
      () => this.#eachRoom((room) => room.allowed()),
      (error) => this.#emitter.emit("error", error),
    );
    this.#heartbeat = new Heartbeat({
      interval: () => (this.#connection.welcome ? this.#connection.welcome.ping_interval_seconds * 1_000 : null),
      heardAt: () => this.#connection.heardAt,
      ping: () => this.#queue.add({ command: { type: "ping" }, endurance: "connection" }),
      drop: () => this.#connection.drop(),
      hurry: () => this.#connection.hurry(),
    });
    this.#host = {
      queue: this.#queue,
      isConnected: () => this.#connection.welcome !== null,
      start: () => this.#start(),
    };
  }

  get status(): Status {
    return this.#connection.status;
  }

  /** Of the connection that is open, else null: who we are, until when, and the limits. */
  get welcome(): Welcome | null {
    return this.#connection.welcome;
  }

  /** Why the status is `closed`, else null. */
  get error(): RoomcastError | null {
    return this.#error;
  }

  /** Connect now; also after `close`, or after the server closed for good. */
  connect(): void {
    this.#error = null;
    this.#heartbeat.start();
    this.#connection.open();
  }

  /** End: what waits for an answer rejects with `closed`, rooms are left (`join` them after a `connect`), streams end. */
  close(): void {
    this.#connection.close();
  }

  /** Get a new token now, as when the rights have changed. */
  refreshToken(): Promise<void> {
    return this.#tokens.refresh();
  }

  /** The room of this name, joined unless `join: false`; the same object each time. */
  room<const Name extends string>(
    name: Name,
    { join = true, ...options }: RoomOptions<RoomOf<Contract, Name>["state"]> = {},
  ): Room<RoomOf<Contract, Name>> {
    let room = this.#rooms.get(name) as Room<RoomOf<Contract, Name>> | undefined;
    if (!room) {
      room = new Room<RoomOf<Contract, Name>>(this.#host, name);
      this.#rooms.set(name, room as unknown as Room<never>);
    }
    if (join) room.join(options);
    return room;
  }

  /** To all connections of a user, at most once; rejects with `outcome_unknown` if no answer came. */
  async send(user: string, data: unknown, name?: string): Promise<void> {
    this.#start();
    await this.#queue.ask({ type: "send", user, data, ...(name !== undefined && { name }) }, "once");
  }

  on<Event extends keyof ClientEvents>(event: Event, handler: (value: ClientEvents[Event]) => void): () => void {
    return this.#emitter.on(event, handler);
  }

  #start(): void {
    if (this.status === "idle") this.connect();
    else if (this.#error) throw this.#error;
  }

  #eachRoom(tell: (room: Room<never>) => void): void {
    for (const room of [...this.#rooms.values()]) tell(room);
  }

  #opened(welcome: Welcome): void {
    this.#emitter.emit("welcome", welcome);
    this.#eachRoom((room) => room.opened());
    this.#queue.opened();
  }

  #receive(event: ServerEvent): void {
    if (event.type === "expiring") void this.#tokens.refresh();
    else if (event.type === "direct") this.#emitter.emit("direct", event);
    // Answers to commands are told to the queue; a publish's also to its room, first, since it moves its position.
    else {
      const isAnswer = "id" in event && event.id !== undefined;
      const room = "room" in event && event.room !== undefined ? this.#rooms.get(event.room) : undefined;
      if (!isAnswer || event.type === "published") room?.receive(event);
      if (isAnswer) this.#queue.receive(event);
      else if (event.type === "error" && room?.status !== "joined") this.#emitter.emit("error", refusal(event));
    }
  }

  #lost(): void {
    this.#tokens.stop();
    this.#eachRoom((room) => room.lost());
    this.#queue.lost();
  }

  #closed(error: RoomcastError): void {
    this.#error = error;
    this.#heartbeat.stop();
    this.#tokens.stop();
    this.#queue.close(error);
    this.#eachRoom((room) => room.ended(error));
  }
}

/** A client that is typed by the tenant's contract, as `roomcast generate typescript` writes it. */
export function createClient<Contract extends ContractShape<Contract> = RegisteredContract>(
  options: ClientOptions,
): Client<Contract> {
  return new Client<Contract>(options);
}
