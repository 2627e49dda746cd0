/** The frames of docs/PROTOCOL.md, version 1, as they travel. Fields keep the names that they have there. */

export const SUBPROTOCOL = "roomcast.v1.json";

/** `epoch:offset`, opaque to applications. */
export type Position = string;

/** Who published; `connection` is null over HTTP. */
export interface Sender {
  user: string;
  connection: string | null;
}

/** One connection in a room; `was` is the connection whose place it took. */
export interface Member<State = unknown> {
  user: string;
  connection: string;
  info?: unknown;
  state?: State;
  joined_at_ms: number;
  was?: string;
}

/** How many are in a room, on all nodes. */
export interface Occupancy {
  connections: number;
  users: number;
}

/** The limits that a client can keep to by itself; null: none. */
export interface Limits {
  max_message_bytes: number | null;
  max_frame_bytes: number | null;
  max_state_bytes: number | null;
  max_rooms_per_connection: number | null;
  commands_per_second: number | null;
  commands_burst: number | null;
}

/** The first event of every connection. */
export interface Welcome {
  type: "welcome";
  version: number;
  connection: string;
  user: string;
  tenant: string;
  node: string;
  expires_at_ms: number;
  ping_interval_seconds: number;
  features: string[];
  limits: Limits;
}

export interface MessageEvent {
  type: "message";
  room: string;
  offset?: number;
  name?: string;
  data: unknown;
  time_ms: number;
  from: Sender | null;
}

export interface SignalEvent {
  type: "signal";
  room: string;
  name?: string;
  data: unknown;
  from: Sender;
}

/** What was sent to this user; `from` is null when the tenant's server sent it. */
export interface Direct {
  type: "direct";
  name?: string;
  data: unknown;
  from: Sender | null;
}

export interface PresenceEvent {
  type: "presence";
  room: string;
  joined: Member[];
  changed: Member[];
  left: Member[];
  occupancy: Occupancy;
  reset?: boolean;
}

export interface OccupancyEvent extends Occupancy {
  type: "occupancy";
  room: string;
}

/** Messages after `from` up to `to` are lost to this client; live goes on after `to`. */
export interface Gap {
  type: "gap";
  room: string;
  from: Position | null;
  to: Position | null;
  reason: "expired" | "epoch" | "limit" | "slow" | "unstored";
}

export interface Left {
  type: "left";
  id?: number;
  room: string;
  reason: "asked" | "rights" | "server" | "limit";
}

export interface Joined {
  type: "joined";
  id?: number;
  room: string;
  position: Position | null;
  recovered: boolean | null;
  occupancy: Occupancy;
  members?: Member[];
}

export interface Published {
  type: "published";
  id?: number;
  room: string;
  position: Position | null;
  duplicate: boolean;
}

export interface MembersPage {
  type: "members";
  id?: number;
  room: string;
  members: Member[];
  next_cursor?: string;
  occupancy: Occupancy;
}

export interface HistoryPage {
  type: "history";
  id?: number;
  room: string;
  messages: (Omit<MessageEvent, "type" | "room"> & { offset: number })[];
  position: Position | null;
  more: boolean;
  complete: boolean;
}

export interface ErrorEvent {
  type: "error";
  id?: number;
  code: string;
  message: string;
  path?: string;
  room?: string;
  limit?: string;
  scope?: string;
  retry_after_ms?: number;
  incident?: string;
}

/** The socket will be closed within 1 s; `after_ms` counts from the close. */
export interface Closing {
  type: "closing";
  code: number;
  reason: string;
  reconnect: boolean;
  after_ms: number;
}

export type ServerEvent =
  | Welcome
  | MessageEvent
  | SignalEvent
  | Direct
  | PresenceEvent
  | OccupancyEvent
  | Gap
  | Left
  | Joined
  | Published
  | MembersPage
  | HistoryPage
  | ErrorEvent
  | Closing
  | { type: "expiring"; in_seconds: number }
  | { type: "authenticated"; id?: number; expires_at_ms: number }
  | { type: "signalled"; id?: number; room: string }
  | { type: "sent"; id?: number; user: string }
  | { type: "state_set"; id?: number; room: string }
  | { type: "pong"; id?: number; time_ms: number };

export type Command =
  | { type: "authenticate"; token: string }
  | { type: "join"; room: string; since?: Position; watch?: boolean; state?: unknown }
  | { type: "leave"; room: string }
  | { type: "publish"; room: string; data: unknown; name?: string; key: string; echo?: boolean }
  | { type: "signal"; room: string; data: unknown; name?: string; echo?: boolean }
  | { type: "send"; user: string; data: unknown; name?: string }
  | { type: "set_state"; room: string; state: unknown }
  | { type: "members"; room: string; cursor?: string; limit?: number }
  | { type: "history"; room: string; since?: Position; before?: Position; limit?: number }
  | { type: "ping" };
