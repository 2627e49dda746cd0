import { Backoff } from "./backoff.js";
import type { Connection, GetToken } from "./connection.js";
import type { Queue } from "./queue.js";

/** Replaces the token in force before it ends. A failure leaves the old one in force, so it is tried again until then. */
export class Tokens {
  readonly #connection: Connection;
  readonly #queue: Queue;
  readonly #getToken: GetToken;
  readonly #replaced: () => void;
  readonly #failed: (error: unknown) => void;
  readonly #backoff = new Backoff({ initial: 2_000, max: 15_000 });
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    connection: Connection,
    queue: Queue,
    getToken: GetToken,
    replaced: () => void,
    failed: (error: unknown) => void,
  ) {
    this.#connection = connection;
    this.#queue = queue;
    this.#getToken = getToken;
    this.#replaced = replaced;
    this.#failed = failed;
  }

  /** Get a new token and send `authenticate` on the connection of now; later ones have their own token. */
  async refresh(): Promise<void> {
    this.stop();
    const { welcome } = this.#connection;
    if (!welcome) return;
    try {
      const token = await this.#getToken("expiring");
      if (welcome !== this.#connection.welcome) return;
      await this.#queue.ask({ type: "authenticate", token }, "connection");
      this.#backoff.reset();
      this.#replaced();
    } catch (error) {
      if (welcome !== this.#connection.welcome) return;
      this.#failed(error);
      this.#timer = setTimeout(() => void this.refresh(), this.#backoff.next());
    }
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
