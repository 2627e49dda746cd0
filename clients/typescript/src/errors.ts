import type { ErrorEvent } from "./wire.js";

/** What the server refuses with: the table "Errors" of PROTOCOL.md. A later server may know more. */
export type ServerErrorCode =
  | "malformed"
  | "invalid"
  | "unknown_command"
  | "schema"
  | "unauthenticated"
  | "forbidden"
  | "not_joined"
  | "not_found"
  | "not_allowed"
  | "conflict"
  | "too_large"
  | "too_many"
  | "rate_limited"
  | "unavailable"
  | "internal";

/**
 * What this client says by itself.
 * - `queue_full`: more is waiting than `offlineQueue` allows; nothing was sent.
 * - `outcome_unknown`: it was sent, no answer came, and to send it again would not be safe (any more).
 * - `connection_lost`: the connection ended before an answer that only it could have had.
 * - `closed`: the client is closed, by you or for good by the server.
 * - `behind`: the reader of a `stream()` let more wait than its `limit`.
 */
export type ClientErrorCode = "queue_full" | "outcome_unknown" | "connection_lost" | "closed" | "behind";

/** A refusal, by the server or by this client. Optional fields are those of the `error` event. */
export class RoomcastError extends Error {
  override readonly name = "RoomcastError";
  readonly path: string | undefined;
  readonly room: string | undefined;
  readonly limit: string | undefined;
  readonly scope: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly incident: string | undefined;

  constructor(
    readonly code: ServerErrorCode | ClientErrorCode | (string & {}),
    message: string,
    details: Partial<Omit<ErrorEvent, "type" | "id">> = {},
  ) {
    super(message);
    this.path = details.path;
    this.room = details.room;
    this.limit = details.limit;
    this.scope = details.scope;
    this.retryAfterMs = details.retry_after_ms;
    this.incident = details.incident;
  }
}

export const refusal = (event: ErrorEvent): RoomcastError => new RoomcastError(event.code, event.message, event);

/**
 * Whether the same command is to be sent again. The only temporary codes are `rate_limited`, by which nothing was done,
 * and `unavailable`, whose outcome may be unknown: only what is safe to repeat is repeated then.
 */
export const isTemporary = (code: string, isRepeatable: boolean): boolean =>
  code === "rate_limited" || (code === "unavailable" && isRepeatable);
