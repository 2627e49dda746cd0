/** React hooks. They hold nothing of their own: rooms, presence and the connection live in the client. */
import {
  createContext,
  createElement,
  type ReactNode,
  useContext,
  useEffect,
  useInsertionEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";
import type { Client } from "./client.js";
import type { Status } from "./connection.js";
import type { ContractShape, RegisteredContract, RoomOf, RoomShape } from "./contract.js";
import type { Attendance } from "./presence.js";
import type { Room } from "./room.js";
import type { MessageOf, RoomEvents, RoomOptions } from "./room_types.js";
import type { Gap } from "./wire.js";

// biome-ignore lint/suspicious/noExplicitAny: one context serves all contracts
const ClientContext = createContext<Client<any> | null>(null);

/** Gives the client to the hooks below it. Who made the client closes it. */
export function RealtimeProvider(properties: {
  // biome-ignore lint/suspicious/noExplicitAny: of any contract
  client: Client<any>;
  children?: ReactNode;
}): ReactNode {
  return createElement(ClientContext.Provider, { value: properties.client }, properties.children);
}

/** The provider's client, typed by the registered contract or the one given. */
export function useClient<Contract extends ContractShape<Contract> = RegisteredContract>(): Client<Contract> {
  const client = useContext(ClientContext);
  if (!client) throw new Error("there is no RealtimeProvider above");
  return client;
}

export function useStatus(): Status {
  const client = useClient();
  return useSyncExternalStore(
    (changed) => client.on("status", changed),
    () => client.status,
    () => "idle",
  );
}

/** How many components hold a room. Left by the last one, a moment later: it may be mounted again at once. */
const holders = new WeakMap<object, number>();

/** A room that is joined as long as a component that calls this is mounted. Options count at the first join. */
export function useRoom<const Name extends string, Contract extends ContractShape<Contract> = RegisteredContract>(
  name: Name,
  options: Omit<RoomOptions<RoomOf<Contract, Name>["state"]>, "join"> = {},
): Room<RoomOf<Contract, Name>> {
  const client = useClient<Contract>();
  const room = useMemo(() => client.room(name, { join: false }), [client, name]);
  const latest = useLatest(options);
  useEffect(() => {
    holders.set(room, (holders.get(room) ?? 0) + 1);
    room.join(latest.current);
    return () => {
      holders.set(room, (holders.get(room) ?? 1) - 1);
      setTimeout(() => holders.get(room) === 0 && room.leave());
    };
  }, [room, latest]);
  return room;
}

/** Call `handler`, the one of the last render, for each `event` of the room. */
export function useEvent<Shape extends RoomShape, Event extends keyof RoomEvents<Shape> & string>(
  room: Room<Shape>,
  event: Event,
  handler: (value: RoomEvents<Shape>[Event]) => void,
): void {
  const latest = useLatest(handler);
  useEffect(() => room.on(event, (value) => latest.current(value)), [room, event, latest]);
}

export interface Messages<Shape extends RoomShape> {
  /** In the room's order, each once. */
  messages: readonly MessageOf<Shape>[];
  /** The last time that messages were lost, or null. */
  gap: Gap | null;
  /** Why older messages could not be read, or null. */
  error: unknown;
}

const NOTHING = { messages: [], gap: null, error: null };

/** The room's last messages: `history` kept ones (default 50; 0: none) and what comes, at most `limit` (default 500). */
export function useMessages<Shape extends RoomShape>(
  room: Room<Shape>,
  { history = 50, limit = 500 }: { history?: number; limit?: number } = {},
): Messages<Shape> {
  const [seen, setSeen] = useState<Messages<Shape>>(NOTHING);
  useEffect(() => {
    setSeen(NOTHING);
    let wants = history > 0;
    // A kept message may come both ways: read, and live.
    const add = (older: readonly MessageOf<Shape>[], newer: readonly MessageOf<Shape>[]) =>
      [...older, ...newer.filter((message) => !older.some((other) => isSame(other, message)))].slice(-limit);
    const read = () => {
      if (!wants) return;
      wants = false;
      room.history({ limit: history }).then(
        (page) => setSeen((now) => ({ ...now, messages: add(page.messages, now.messages) })),
        (error) => setSeen((now) => ({ ...now, error })),
      );
    };
    const stops = [
      room.on("message", (message) => setSeen((now) => ({ ...now, messages: add(now.messages, [message]) }))),
      room.on("gap", (gap) => setSeen((now) => ({ ...now, gap }))),
      room.on("joined", read),
    ];
    if (room.status === "joined") read();
    return () => {
      for (const stop of stops) stop();
    };
  }, [room, history, limit]);
  return seen;
}

/** Who is in the room; it is watched from now on. */
export function usePresence<Shape extends RoomShape>(room: Room<Shape>): Attendance<Shape["state"]> {
  const { presence } = room;
  const now = () => presence.current;
  return useSyncExternalStore((changed) => presence.subscribe(changed), now, now);
}

function isSame(one: { position: string | null }, other: { position: string | null }): boolean {
  return one.position !== null && one.position === other.position;
}

function useLatest<Value>(value: Value): { readonly current: Value } {
  const latest = useRef(value);
  // At the commit, not after the paint: what comes in between is for the new one.
  useInsertionEffect(() => {
    latest.current = value;
  });
  return latest;
}
