import { RoomcastError } from "./errors.js";

/** Waiting items for one reader. More than `limit` end it, since what was left out could not be told. */
export class Stream<Item> implements AsyncIterableIterator<Item> {
  readonly #limit: number;
  readonly #stop: () => void;
  #items: Item[] = [];
  #end: { error: RoomcastError | null } | null = null;
  #readers: (() => void)[] = [];

  constructor(limit: number, subscribe: (stream: Stream<Item>) => () => void) {
    this.#limit = limit;
    this.#stop = subscribe(this);
  }

  /** @internal */
  push(item: Item): void {
    if (this.#end) return;
    if (this.#items.length < this.#limit) this.#items.push(item);
    else this.end(new RoomcastError("behind", `the reader is more than ${this.#limit} behind`, { limit: "stream" }));
    this.#wake();
  }

  /** @internal */
  end(error: RoomcastError | null): void {
    if (this.#end) return;
    this.#stop();
    this.#end = { error };
    this.#wake();
  }

  async next(): Promise<IteratorResult<Item>> {
    while (this.#items.length === 0 && !this.#end) {
      await new Promise<void>((wake) => {
        this.#readers.push(wake);
      });
    }
    if (this.#items.length > 0) return { value: this.#items.shift() as Item, done: false };
    const error = this.#end?.error;
    if (error) {
      this.#end = { error: null };
      throw error;
    }
    return { value: undefined, done: true };
  }

  async return(): Promise<IteratorResult<Item>> {
    this.#items = [];
    this.end(null);
    return { value: undefined, done: true };
  }

  #wake(): void {
    for (const wake of this.#readers.splice(0)) wake();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
