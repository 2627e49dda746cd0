"""A tenant's budget of history: which rooms were published to, what they take of Redis, and whose history is cut."""

from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

from service.brokers import scripts
from service.brokers.control import TenantSize
from service.brokers.keys import TenantKeys
from service.brokers.link import Link
from service.brokers.registry import within_deadline
from service.brokers.resp import pack
from service.protocol.errors import RoomcastError

MEASURED_ROOMS: Final = 2_000  # a second; 3 µs of Redis each. The others wait for their turn
MAX_ROUNDS: Final = 20  # a second and tenant: of looking, cutting, looking again
NO_BUDGET: Final = 2**53  # all that a double counts exactly
OLDEST_LOOKED_AT: Final = 20  # when a tenant is measured, and as many again while all of them have run out


class HistoryBudget:
    """Measures rooms that were published to, keeps the account in Redis, and cuts what is above the budget.

    The rooms longest unpublished lose their history whole; only when one room alone is above the budget, it keeps its
    newer half. Two nodes that cut at once see the same order, and cutting twice changes nothing.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._noted: dict[tuple[str, str], int] = {}

    def note_published(self, tenant_id: str, room: str, max_history_bytes: int | None) -> None:
        """The room got a kept message."""
        self._noted[tenant_id, room] = NO_BUDGET if max_history_bytes is None else max_history_bytes

    @within_deadline
    async def measure(self, tenant_id: str) -> TenantSize:
        """See `Broker.measure_tenant`."""
        keys = TenantKeys(tenant_id)
        oldest = pack("ZRANGE", keys.key(b"t"), 0, OLDEST_LOOKED_AT - 1)
        for _ in range(MAX_ROUNDS):
            rooms, total, found = await self._link.ask_all(
                [pack("ZCARD", keys.key(b"o")), pack("HGET", keys.key(b"b"), "/"), oldest]
            )
            sizes = await self._measure(tenant_id, [room.decode() for room in found])
            gone = {room: 0 for room, size in sizes.items() if not size}
            if gone:  # else nothing is written: of a tenant that was deleted nothing may come back
                total, _, _ = await self._account(tenant_id, NO_BUDGET, gone)
            if not gone or len(gone) < len(sizes):
                break
        return TenantSize(rooms, int(total or 0))

    async def enforce(self) -> None:
        """Look at what was noted since the last time. Raises RoomcastError: it is looked at with the next."""
        rooms_by_tenant: dict[str, list[str]] = {}
        budgets: dict[str, int] = {}
        for tenant_id, room in list(islice(self._noted, MEASURED_ROOMS)):
            budgets[tenant_id] = self._noted.pop((tenant_id, room))
            rooms_by_tenant.setdefault(tenant_id, []).append(room)
        try:
            for tenant_id, rooms in rooms_by_tenant.items():
                sizes = await self._measure(tenant_id, rooms)
                await self._keep_within(tenant_id, budgets[tenant_id], sizes)
        except RoomcastError:
            for tenant_id, rooms in rooms_by_tenant.items():
                for room in rooms:
                    self._noted.setdefault((tenant_id, room), budgets[tenant_id])
            raise

    async def _keep_within(self, tenant_id: str, budget: int, published: dict[str, int]) -> None:
        total, oldest, _ = await self._account(tenant_id, budget, published, touch=True)
        for _ in range(MAX_ROUNDS):
            if total <= budget or not oldest:
                return
            # Histories that ran out by themselves leave the account before anything is cut.
            total, oldest, rooms = await self._account(tenant_id, budget, await self._measure(tenant_id, oldest))
            # All rooms are asked for only when the newest alone is above the budget: it keeps its newer half.
            alone = oldest[-1] if oldest and len(oldest) == rooms else None
            for room in oldest:
                await self._cut(tenant_id, room, whole=room != alone)
            total, oldest, _ = await self._account(tenant_id, budget, await self._measure(tenant_id, oldest))

    async def _measure(self, tenant_id: str, rooms: Sequence[str]) -> dict[str, int]:
        keys = [self._link.keyspace.address(tenant_id, room).keys.key(b"s") for room in rooms]
        sizes = await self._link.ask_all(pack("MEMORY", "USAGE", key) for key in keys)
        return {room: size or 0 for room, size in zip(rooms, sizes, strict=True)}

    async def _account(
        self, tenant_id: str, budget: int, sizes: dict[str, int], *, touch: bool = False
    ) -> tuple[int, list[str], int]:
        """Enter sizes in bytes; the total, the rooms to look at (the oldest first), and how many rooms there are."""
        keys = TenantKeys(tenant_id)
        arguments = [value for pair in sizes.items() for value in pair]
        packed = scripts.ACCOUNT_HISTORY.pack([keys.key(b"b"), keys.key(b"t")], budget, int(touch), *arguments)
        return await self._link.ask(packed, _account)

    async def _cut(self, tenant_id: str, room: str, *, whole: bool) -> None:
        keys = self._link.keyspace.address(tenant_id, room).keys
        await self._link.ask(scripts.CUT_HISTORY.pack([keys.key(b"m"), keys.key(b"s")], int(whole)), _size)


def _size(reply: int | None) -> int:
    return reply or 0


def _account(reply: list[Any]) -> tuple[int, list[str], int]:
    return reply[0], [room.decode() for room in reply[2:]], reply[1]
