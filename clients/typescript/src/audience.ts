import type { RoomShape } from "./contract.js";
import { Emitter } from "./emitter.js";
import type { RoomcastError } from "./errors.js";
import type { MessageOf, RoomEvents } from "./room_types.js";
import { Stream } from "./stream.js";
import type { Gap, MessageEvent, Position, SignalEvent } from "./wire.js";

/** Who hears what comes in a room: handlers and streams. Each hears of a message once, in the room's order. */
export class Audience<Shape extends RoomShape> {
  readonly #emitter = new Emitter<RoomEvents<RoomShape> & Record<string, unknown>>();
  readonly #streams = new Set<Stream<MessageOf<Shape> | Gap>>();

  on<Event extends keyof RoomEvents<Shape> & string>(
    event: Event,
    handler: (value: RoomEvents<Shape>[Event]) => void,
  ): () => void {
    return this.#emitter.on(event, handler as (value: unknown) => void);
  }

  stream(limit: number): Stream<MessageOf<Shape> | Gap> {
    return new Stream(limit, (stream) => {
      this.#streams.add(stream);
      return () => this.#streams.delete(stream);
    });
  }

  message(event: MessageEvent, position: Position | null): void {
    const message = { ...event, position };
    this.#push(message as unknown as MessageOf<Shape>);
    this.#tell(message);
  }

  signal(event: SignalEvent): void {
    this.#tell(event);
  }

  gap(gap: Gap): void {
    this.#push(gap);
    this.#emitter.emit("gap", gap);
  }

  tell<Event extends Exclude<keyof RoomEvents<RoomShape>, "message" | "signal" | "gap">>(
    event: Event,
    value: RoomEvents<RoomShape>[Event],
  ): void {
    this.#emitter.emit(event, value as never);
  }

  /** The room is left, or the client closed for this reason: streams end. */
  end(error: RoomcastError | null): void {
    for (const stream of [...this.#streams]) stream.end(error);
  }

  #push(item: MessageOf<Shape> | Gap): void {
    for (const stream of [...this.#streams]) stream.push(item);
  }

  #tell(event: MessageEvent | SignalEvent): void {
    this.#emitter.emit(event.type, event as never);
    if (event.name !== undefined) this.#emitter.emit(`${event.type}:${event.name}`, event as never);
  }
}
