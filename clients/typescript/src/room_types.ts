import type { Received, RoomShape } from "./contract.js";
import type { RoomcastError } from "./errors.js";
import type { Gap, Joined, Left, OccupancyEvent, Position, PresenceEvent, Sender } from "./wire.js";

export interface RoomOptions<State = unknown> {
  /** Join at once and whenever the connection is new; default true. Without, one may publish and read history. */
  join?: boolean;
  /** After a lost connection, receive what was missed, or a `gap` that says it is lost; default true. */
  recover?: boolean;
  /** Receive what came after this position, from the first join on. */
  since?: Position;
  /** Know the members: `presence`; default false. */
  watch?: boolean;
  /** One's own state, which other members see. */
  state?: State;
}

/** `joining` also while there is no connection. `left`: asked, put out, or refused (`error`). */
export type RoomStatus = "joining" | "joined" | "left";

export interface MessageKind {
  type: "message";
  room: string;
  /** Null in rooms without history; they have no `offset` either. */
  position: Position | null;
  offset?: number;
  time_ms: number;
  /** Null: the tenant's server. */
  from: Sender | null;
}
export interface SignalKind {
  type: "signal";
  room: string;
  from: Sender;
}

export type MessageOf<Shape extends RoomShape> = Received<MessageKind, Shape["messages"], Shape["additional"]>;
export type SignalOf<Shape extends RoomShape> = Received<SignalKind, Shape["signals"], Shape["additional"]>;

type Named<Prefix extends string, Kind, Listed, Additional> = {
  [Name in keyof Listed & string as `${Prefix}:${Name}`]: Kind & { name: Name; data: Listed[Name] };
} & (Additional extends true ? { [Name in `${Prefix}:${string}`]: Kind & { name: string; data: unknown } } : {});

/** What `on` hears; `message:said` is the messages of the name `said`. */
export type RoomEvents<Shape extends RoomShape> = {
  message: MessageOf<Shape>;
  signal: SignalOf<Shape>;
  gap: Gap;
  /** What changed, as it came; `room.presence` has what it comes to. */
  presence: PresenceEvent;
  occupancy: OccupancyEvent;
  joined: Joined;
  left: Left;
  status: RoomStatus;
  error: RoomcastError;
} & Named<"message", MessageKind, Shape["messages"], Shape["additional"]> &
  Named<"signal", SignalKind, Shape["signals"], Shape["additional"]>;

/** One page of kept messages, ascending. PROTOCOL.md, "history". */
export interface History<Shape extends RoomShape> {
  messages: MessageOf<Shape>[];
  position: Position | null;
  more: boolean;
  complete: boolean;
}

/** The answer to a publish. `duplicate`: a publish with this key was stored before, at this position. */
export interface Receipt {
  position: Position | null;
  duplicate: boolean;
}
