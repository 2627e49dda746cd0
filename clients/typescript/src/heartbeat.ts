const TICK_MS = 5_000;
const PONG_MS = 10_000; // as long as the server waits for ours
const WAKING = ["online", "visibilitychange", "pageshow"];

/** What a heartbeat asks of the client; times by `Date.now()`, which goes on while a laptop sleeps. */
export interface Pulse {
  /** ms of silence after which the server should be asked whether it is there; null: not connected. */
  interval(): number | null;
  heardAt(): number;
  /** Ask; no answer ends the connection. */
  ping(): void;
  /** The server has given us up meanwhile. */
  drop(): void;
  /** The device woke or found a network. */
  hurry(): void;
}

/**
 * Finds connections that died without a close. The server's pings are invisible in a browser, so a silent connection is
 * asked; one that was asleep longer than the server waits for a pong is given up at once.
 */
export class Heartbeat {
  readonly #pulse: Pulse;
  #timer: ReturnType<typeof setInterval> | undefined;
  #tickedAt = 0;
  #askedAt = 0;

  constructor(pulse: Pulse) {
    this.#pulse = pulse;
  }

  start(): void {
    if (this.#timer !== undefined) return;
    this.#tickedAt = Date.now();
    this.#timer = setInterval(this.#tick, TICK_MS);
    for (const event of WAKING) globalThis.addEventListener?.(event, this.#wake);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const event of WAKING) globalThis.removeEventListener?.(event, this.#wake);
  }

  readonly #tick = (): void => {
    const now = Date.now();
    const slept = now - this.#tickedAt - TICK_MS;
    this.#tickedAt = now;
    const interval = this.#pulse.interval();
    if (interval === null) return;
    if (slept > interval + PONG_MS) this.#pulse.drop();
    else if (slept > TICK_MS || now - Math.max(this.#pulse.heardAt(), this.#askedAt) >= interval) this.#ask(now);
  };

  readonly #wake = (): void => {
    if (globalThis.document?.visibilityState === "hidden") return;
    this.#tick();
    this.#pulse.hurry();
    if (this.#pulse.interval() !== null) this.#ask(Date.now());
  };

  #ask(now: number): void {
    this.#askedAt = now;
    this.#pulse.ping();
  }
}
