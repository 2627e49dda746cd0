import { createClient } from "@roomcast/client";
import { useCallback, useEffect, useRef, useState } from "react";
import { api, take } from "./api/client";

/** One thing that happened in a room. */
export interface Entry {
  id: number;
  kind: "message" | "signal" | "gap" | "note";
  atMs: number;
  name: string;
  user: string;
  position: string;
  data: unknown;
}

export interface Stream {
  entries: readonly Entry[];
  status: string;
  /** What came since it was paused. */
  unseen: number;
  isPaused: boolean;
  pause: (isPaused: boolean) => void;
  clear: () => void;
}

export const CONSOLE_USER = "console";
const KEPT = 2000;
const TOKEN_SECONDS = 3600;
export const socketUrl = (): string => `${location.origin.replace(/^http/, "ws")}/v1/connect`;

/** Gathers what comes, and shows it once a frame of the screen, however much it is. */
class Tape {
  readonly entries: Entry[] = [];
  #count = 0;
  #frame = 0;

  constructor(readonly show: () => void) {}

  add(entry: Omit<Entry, "id" | "atMs"> & { atMs?: number }): void {
    this.entries.push({ atMs: Date.now(), ...entry, id: ++this.#count });
    if (this.entries.length > 2 * KEPT) this.entries.splice(0, this.entries.length - KEPT);
    if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#flush());
  }

  get count(): number {
    return this.#count;
  }

  #flush(): void {
    this.#frame = 0;
    this.show();
  }

  end(): void {
    cancelAnimationFrame(this.#frame);
  }
}

async function getToken(room: string): Promise<string> {
  const body = { user: CONSOLE_USER, rooms: { [room]: ["join" as const, "history" as const] }, ttl_seconds: TOKEN_SECONDS };
  return (await take(api.POST("/v1/tokens", { body }))).token;
}

function follow(name: string, tape: Tape, setStatus: (status: string) => void): () => void {
  const client = createClient({ url: socketUrl(), getToken: () => getToken(name) });
  const note = (text: string) => tape.add({ kind: "note", name: text, user: "", position: "", data: undefined });
  client.on("status", setStatus);
  client.on("error", (error) => note((error as Error).message));
  const room = client.room(name);
  room.on("message", (message) => {
    const { position, from, data, time_ms: atMs } = message;
    const user = from?.user ?? "server";
    tape.add({ kind: "message", name: (message as { name?: string }).name ?? "", user, position: position ?? "", data, atMs });
  });
  room.on("signal", (signal) => {
    const { from, data } = signal;
    tape.add({ kind: "signal", name: (signal as { name?: string }).name ?? "", user: from.user, position: "", data });
  });
  room.on("gap", ({ from, to, reason }) => {
    tape.add({ kind: "gap", name: reason, user: "", position: to ?? "", data: { from, to } });
  });
  room.on("joined", (joined) => note(joined.recovered ? "joined again, nothing was lost" : "joined"));
  room.on("left", (left) => note(`put out: ${left.reason}`));
  room.on("error", (error) => note(error.message));
  return () => client.close();
}

/** The room's events as they happen, as the user `console`, who is in the room meanwhile. */
export function useStream(room: string): Stream {
  const [shown, setShown] = useState<{ entries: readonly Entry[]; count: number }>({ entries: [], count: 0 });
  const [total, setTotal] = useState(0);
  const [status, setStatus] = useState("connecting");
  const [isPaused, setPaused] = useState(false);
  const paused = useRef(false);
  const tape = useRef<Tape>(null);
  const show = useCallback(() => {
    const now = tape.current;
    if (!now) return;
    setTotal(now.count);
    if (!paused.current) setShown({ entries: now.entries.slice(-KEPT), count: now.count });
  }, []);
  useEffect(() => {
    const fresh = new Tape(show);
    tape.current = fresh;
    const leave = follow(room, fresh, setStatus);
    return () => {
      leave();
      fresh.end();
    };
  }, [room, show]);
  const pause = (next: boolean) => {
    paused.current = next;
    setPaused(next);
    show();
  };
  const clear = () => {
    tape.current?.entries.splice(0);
    show();
  };
  return { entries: shown.entries, status, unseen: total - shown.count, isPaused, pause, clear };
}
