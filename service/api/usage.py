"""What the tenant used."""

import asyncio
import csv
import io
import time
from collections.abc import Sequence
from typing import Annotated, Any, Final, cast
from urllib.parse import urlencode
from weakref import WeakKeyDictionary

from litestar import Controller, Request, Response
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from service.api.cursors import page_of
from service.api.guards import needs
from service.api.operations import read
from service.api.parameters import Cursor, From, Limit, To
from service.protocol.errors import ERROR_KINDS, Invalid
from service.protocol.instants import read_instant, write_instant
from service.protocol.resources import UsagePage, UsagePoint
from service.rooms.connection_manager import ConnectionManager
from service.rooms.node import Node
from service.tenants.storage import Storage
from service.tenants.usage import UNITS_MS, UsageUnit

JSON: Final = "application/json"
CSV: Final = "text/csv"
# How many units are shown where `from` is left out: an hour of minutes, a day of hours, a month of days.
_SHOWN: Final[dict[UsageUnit, int]] = {"minute": 60, "hour": 24, "day": 30}
_CSV_COLUMNS: Final = (
    "starts_at", "peak_connections", "connection_minutes", "messages_in_websocket", "messages_in_http", "deliveries",
    "bytes_in", "bytes_out", "api_requests", "peak_rooms", "history_bytes",
    *(f"refused_{code}" for code in ERROR_KINDS),
)  # fmt: skip

# One reading of a tenant at a time: a week of four nodes takes SQLite 0.4 s, of which the loop has a third.
_reading: WeakKeyDictionary[ConnectionManager, asyncio.Lock] = WeakKeyDictionary()

Unit = Annotated[UsageUnit, QueryParameter(description="What a point covers; days are of UTC.")]


class UsageController(Controller):
    """`/usage`."""

    path = "/usage"
    tags = ("usage",)

    @read(operation_id="getUsage", summary="Look at what was used", **needs("read"), also_answers=[CSV])
    async def read_usage(
        self,
        request: Request[Any, Any, Any],
        manager: NamedDependency[ConnectionManager],
        storage: NamedDependency[Storage],
        node: NamedDependency[Node],
        from_: From = None,
        to: To = None,
        unit: Unit = "hour",
        cursor: Cursor = None,
        limit: Limit = 100,
    ) -> Response[UsagePage]:
        """By minute, hour or day, over all nodes, ascending: the units that the time from `from` to `to` touches.

        Without `to` up to now; without `from` an hour of minutes, a day of hours or 30 days before that. What other
        nodes count is seen when its minute is over. Minutes are kept for a week, unless the operator says otherwise,
        and hours for longer. With `Accept: text/csv` a table, whose next page is in the header `Link`.
        """
        tenant_id, unit_ms = manager.tenant.id, UNITS_MS[unit]
        to_ms = time.time_ns() // 1_000_000 if to is None else read_instant(to, "$.to")
        from_ms = to_ms - _SHOWN[unit] * unit_ms if from_ is None else read_instant(from_, "$.from")
        if from_ms > to_ms:
            raise Invalid("from comes after to", "$.from")

        async def find(after: str, most: int) -> Sequence[UsagePoint]:
            start_ms = int(after) + unit_ms if after else from_ms
            async with _reading.setdefault(manager, asyncio.Lock()):
                unwritten = node.usage.rows(tenant_id)
                return await storage.usage.read(tenant_id, start_ms, to_ms, unit, most, unwritten)

        query = f"usage\0{unit}\0{from_}\0{to}"
        points, next_cursor = await page_of(
            tenant_id, query, cursor, limit, find, lambda point: str(point.starts_at_ms)
        )
        if request.accept.best_match([JSON, CSV], JSON) == JSON:
            return Response(UsagePage(items=list(points), next_cursor=next_cursor), headers={"Vary": "Accept"})
        return cast(Response[UsagePage], _as_table(request, points, next_cursor))


def _as_table(request: Request[Any, Any, Any], points: Sequence[UsagePoint], next_cursor: str | None) -> Response[str]:
    headers = {"Vary": "Accept"}
    if next_cursor is not None:
        asked = {**dict(request.query_params), "cursor": next_cursor}
        headers["Link"] = f'<{request.scope["path"]}?{urlencode(asked)}>; rel="next"'  # RFC 8288
    return Response(write_csv(points), media_type=CSV, headers=headers)


def write_csv(points: Sequence[UsagePoint]) -> str:
    """Points as RFC 4180 has it, a line of names first. Refusals with codes that this version lacks are left out."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(_CSV_COLUMNS)
    for point in points:
        table.writerow(
            [
                write_instant(point.starts_at_ms),
                point.peak_connections,
                point.connection_minutes,
                point.messages_in.websocket,
                point.messages_in.http,
                point.deliveries,
                point.bytes_in,
                point.bytes_out,
                point.api_requests,
                point.peak_rooms,
                point.history_bytes,
                *(point.refused.get(code, 0) for code in ERROR_KINDS),
            ]
        )
    return text.getvalue()
