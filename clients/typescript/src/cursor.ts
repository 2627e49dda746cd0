import type { Position } from "./wire.js";

interface Place {
  epoch: string;
  offset: number;
}

function parse(position: Position | null): Place | null {
  if (position === null) return null;
  const colon = position.lastIndexOf(":");
  return { epoch: position.slice(0, colon), offset: Number(position.slice(colon + 1)) };
}

/**
 * How far a room is delivered. PROTOCOL.md, "Order" and "Recovery".
 *
 * `position` is what the next `join` sends as `since`: that of the last thing delivered, never ahead of it. So `joined`
 * does not move it while missed messages (`recovered: true`) or the `gap` (`recovered: false`) are still to come: if
 * the connection ends before them, they, or the word of their loss, come after the next join.
 */
export class Cursor {
  position: Position | null;
  /** Nothing at or below this is delivered (again). */
  #reached: Place | null;

  constructor(since: Position | null = null) {
    this.position = since;
    this.#reached = parse(since);
  }

  joined(position: Position | null, recovered: boolean | null): void {
    if (recovered) return;
    if (recovered === null) this.position = position;
    this.#reached = parse(position);
  }

  /** False if it was delivered already. `offset` is absent in rooms without history. */
  message(offset: number | undefined): boolean {
    if (offset === undefined || !this.#reached) return true;
    if (offset <= this.#reached.offset) return false;
    this.#reached.offset = offset;
    this.position = `${this.#reached.epoch}:${offset}`;
    return true;
  }

  /** The answer to an own publish stands in its message's place, unless a gap passed that, or it is an old one's. */
  published(position: Position | null, duplicate: boolean): void {
    const place = parse(position);
    if (duplicate || !place || place.epoch !== this.#reached?.epoch) return;
    this.message(place.offset);
  }

  gap(to: Position | null): void {
    this.position = to;
    this.#reached = parse(to);
  }
}
