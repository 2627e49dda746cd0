import { Emitter } from "./emitter.js";
import type { Queue } from "./queue.js";
import type { Joined, Member, MembersPage, Occupancy, OccupancyEvent, PresenceEvent } from "./wire.js";

/**
 * Who is in a room. `members` is empty until the room is watched, and in rooms of more than 1,000 members, of which only
 * `occupancy` is told; null before the first join. A new object comes with each change.
 */
export interface Attendance<State = unknown> {
  readonly members: readonly Member<State>[];
  readonly occupancy: Occupancy | null;
}

const PAGE = 1_000;

/** What presence asks of its room. */
export interface PresenceRoom {
  readonly name: string;
  /** Watch from now on. */
  watch(): void;
  /** Bring the state to the server, now or with the next join. */
  setState(state: unknown): Promise<void>;
}

export class Presence<State = unknown> {
  /** As of the last change. */
  current: Attendance<State> = { members: [], occupancy: null };

  readonly #room: PresenceRoom;
  readonly #queue: Queue;
  readonly #emitter = new Emitter<{ change: Attendance<State> }>();
  #members = new Map<string, Member>();
  /** While pages are read: the connections that events told of meanwhile, which count more than what a page says. */
  #told: Set<string> | null = null;
  #reading = 0;

  constructor(room: PresenceRoom, queue: Queue) {
    this.#room = room;
    this.#queue = queue;
  }

  get members(): readonly Member<State>[] {
    return this.current.members;
  }

  get occupancy(): Occupancy | null {
    return this.current.occupancy;
  }

  /** Set one's own state; it is kept over reconnects. Rejects with what the server refuses. */
  set(state: State): Promise<void> {
    return this.#room.setState(state);
  }

  /** Watch the room, and hear of each change. Returns how to stop hearing. */
  subscribe(handler: (attendance: Attendance<State>) => void): () => void {
    this.#room.watch();
    return this.#emitter.on("change", handler);
  }

  /** @internal */
  joined({ members, occupancy }: Joined): void {
    this.#members.clear();
    this.#note(members ?? []);
    this.#told = null;
    this.#reading++;
    if (members && members.length < occupancy.connections) void this.#read();
    this.#change(occupancy);
  }

  /** @internal */
  receive(event: PresenceEvent | OccupancyEvent): void {
    if (event.type === "occupancy") {
      this.#members.clear();
      this.#reading++;
      this.#change({ connections: event.connections, users: event.users });
      return;
    }
    if (event.reset) this.#members.clear();
    for (const { connection } of event.left) this.#forget(connection);
    for (const { was } of event.changed) if (was !== undefined) this.#forget(was);
    this.#note([...event.joined, ...event.changed]);
    if (event.reset) void this.#read();
    this.#change(event.occupancy);
  }

  /** Page the list of members; what events say from now on stands before it. */
  async #read(): Promise<void> {
    const reading = ++this.#reading;
    this.#told = new Set();
    let cursor: string | undefined;
    do {
      const command = { type: "members", room: this.#room.name, limit: PAGE, ...(cursor && { cursor }) } as const;
      const page = await this.#queue.ask<MembersPage>(command, "connection").catch(() => null);
      if (!page || reading !== this.#reading) return; // the next `joined` or `reset` begins anew
      for (const member of page.members) {
        if (!this.#told.has(member.connection)) this.#members.set(member.connection, member);
      }
      cursor = page.next_cursor;
      this.#change(this.current.occupancy ?? page.occupancy);
    } while (cursor);
    this.#told = null;
  }

  #note(members: Member[]): void {
    for (const member of members) {
      this.#members.set(member.connection, member);
      this.#told?.add(member.connection);
    }
  }

  #forget(connection: string): void {
    this.#members.delete(connection);
    this.#told?.add(connection);
  }

  #change(occupancy: Occupancy): void {
    this.current = { members: [...this.#members.values()] as Member<State>[], occupancy };
    this.#emitter.emit("change", this.current);
  }
}
