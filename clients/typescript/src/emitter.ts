/** Calls an application's handler. What it throws is the application's, and must not keep others from hearing. */
function call<Value>(handler: (value: Value) => void, value: Value): void {
  try {
    handler(value);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/** Handlers by the name of what they hear. */
export class Emitter<Events extends object> {
  readonly #handlers = new Map<keyof Events, Set<(value: never) => void>>();

  /** Returns how to stop. The same function may be given twice, and is heard twice. */
  on<Name extends keyof Events>(name: Name, handler: (value: Events[Name]) => void): () => void {
    const own = (value: Events[Name]) => handler(value);
    const handlers = this.#handlers.get(name) ?? new Set();
    this.#handlers.set(name, handlers.add(own));
    return () => {
      handlers.delete(own);
    };
  }

  emit<Name extends keyof Events>(name: Name, value: Events[Name]): void {
    for (const handler of [...(this.#handlers.get(name) ?? [])]) call(handler as (value: Events[Name]) => void, value);
  }
}
