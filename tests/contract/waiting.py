"""Rows of PROTOCOL.md that nothing built so far can reach, and what each waits for."""

ROOM_TYPES = "room types, with schemas and history of their own"
MANAGEMENT = "the routes for the tenant's own settings, keys and revocations"
OPERATOR = "the operator's routes"
INSIGHT = "stats, traces, usage and audit"
PRESENCE = "presence: members, set_state, watch, state"

WAITING: dict[str, str] = {
    "error:schema": ROOM_TYPES,
    "limit:max_state_bytes": PRESENCE,
    "limit:max_history_messages": ROOM_TYPES,
    "limit:max_history_seconds": ROOM_TYPES,
    "limit:max_api_keys": MANAGEMENT,
    "limit:max_signing_keys": MANAGEMENT,
    "limit:max_room_types": ROOM_TYPES,
}
"""By row of the error, close and limit tables: `error:<code>`, `close:<code>`, `limit:<name>`."""

WAITING_ROUTES: dict[str, str] = {
    "GET /v1/rooms/{room}/members": PRESENCE,
    "DELETE /v1/rooms/{room}/members/{user}": PRESENCE,
    "POST /v1/revocations": MANAGEMENT,
    "GET /v1/room-types/{name}": ROOM_TYPES,
    "PUT /v1/room-types/{name}": ROOM_TYPES,
    "DELETE /v1/room-types/{name}": ROOM_TYPES,
    "/v1/keys": MANAGEMENT,
    "/v1/signing-keys": MANAGEMENT,
    "GET /v1/stats": INSIGHT,
    "POST /v1/traces": INSIGHT,
    "GET /v1/traces/{trace}": INSIGHT,
    "GET /v1/usage": INSIGHT,
    "GET /v1/audit": INSIGHT,
    "GET /v1/contract": ROOM_TYPES,
    "PUT /v1/contract": ROOM_TYPES,
    "GET /v1/contract/openapi.json": ROOM_TYPES,
    "GET /v1/contract/asyncapi.json": ROOM_TYPES,
}
"""By method and path as the table of HTTP has them; without a method where it names none."""
