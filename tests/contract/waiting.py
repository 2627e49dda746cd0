"""Rows of PROTOCOL.md that nothing built so far can reach, and what each waits for."""

INSIGHT = "traces"

WAITING: dict[str, str] = {}
"""By row of the error, close and limit tables: `error:<code>`, `close:<code>`, `limit:<name>`."""

WAITING_ROUTES: dict[str, str] = {
    "POST /v1/traces": INSIGHT,
    "GET /v1/traces/{trace}": INSIGHT,
}
"""By method and path as the table of HTTP has them."""
