/** Bounds of the delay before a reconnect, in ms. */
export interface BackoffOptions {
  /** The upper bound of the first delay; default 500. It doubles with each try. */
  initial?: number;
  /** The upper bound of all delays; default 30,000. */
  max?: number;
}

/** Exponential backoff with full jitter: uniform in [0, min(max, initial · 2^tries)), so a herd comes back spread out. */
export class Backoff {
  tries = 0;
  readonly #initial: number;
  readonly #max: number;

  constructor({ initial = 500, max = 30_000 }: BackoffOptions = {}) {
    this.#initial = initial;
    this.#max = max;
  }

  /** The next delay in ms. */
  next(): number {
    return Math.random() * Math.min(this.#max, this.#initial * 2 ** this.tries++);
  }

  reset(): void {
    this.tries = 0;
  }
}
