import type { Limits } from "./wire.js";

// A little less than is allowed: frames bunch up on their way.
const SHARE = 0.8;

/** Keeps to the server's `commands_per_second` and `commands_burst`, so that nothing is refused and order stays. */
export class Pace {
  readonly #again: () => void;
  #rate = Infinity; // a second
  #burst = Infinity;
  #credit = Infinity;
  #countedAt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `again` is called when there is credit after `spend` said no. */
  constructor(again: () => void) {
    this.#again = again;
  }

  reset(limits: Limits | undefined): void {
    this.stop();
    this.#rate = (limits?.commands_per_second ?? Infinity) * SHARE;
    this.#credit = this.#burst = Math.max(1, (limits?.commands_burst ?? Infinity) * SHARE);
    this.#countedAt = Date.now();
  }

  spend(): boolean {
    const now = Date.now();
    if (this.#rate < Infinity) {
      const earned = (Math.max(0, now - this.#countedAt) / 1_000) * this.#rate;
      this.#credit = Math.min(this.#burst, this.#credit + earned);
    }
    this.#countedAt = now;
    if (this.#credit >= 1) {
      this.#credit--;
      return true;
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#again();
    }, 1_000 / this.#rate);
    return false;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
