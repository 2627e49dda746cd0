"""The cluster's registry of connections: entering, leaving, looking, and reaching users and connections through it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from service.brokers import scripts
from service.brokers.broker import ConnectionEntry, RoomCount, TenantCounts
from service.brokers.entries import pack_connect, pack_rooms, pack_tell_user, parse_entry
from service.brokers.keys import TenantKeys
from service.brokers.link import Link
from service.brokers.resp import DEADLINE_SECONDS, outcome_unknown, pack
from service.protocol.errors import RoomcastError, TooMany

NOTED_CONNECTIONS: Final = 20  # per call of note_rooms.lua; 100 rooms of 200 characters each are 400 KB
MIN_PAGE: Final = 50

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def within_deadline(
    ask: Callable[Arguments, Coroutine[Any, Any, Answer]],
) -> Callable[Arguments, Coroutine[Any, Any, Answer]]:
    """Several questions in a row share one deadline."""

    @wraps(ask)
    async def asked(*arguments: Arguments.args, **named: Arguments.kwargs) -> Answer:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                return await ask(*arguments, **named)
        except TimeoutError:
            raise outcome_unknown() from None

    return asked


class Registry:
    """Its part of `Broker`."""

    _link: Link
    _noted_rooms: dict[tuple[str, str], Sequence[str]]

    # Entering and leaving

    def connect(
        self,
        tenant_id: str,
        entry: ConnectionEntry,
        max_connections: int | None,
        max_connections_per_user: int | None,
    ) -> Awaitable[None]:
        """See `Broker.connect`."""
        self._link.note_tenant(tenant_id)
        limits = (max_connections, max_connections_per_user)
        packed = pack_connect(scripts.CONNECT, self._link, tenant_id, entry, *limits)
        return self._link.ask_under_lease(packed, _connected)

    def disconnected(self, tenant_id: str, connection: str, user: str) -> None:
        """See `Broker.disconnected`."""
        self._noted_rooms.pop((tenant_id, connection), None)
        keys = TenantKeys(tenant_id)
        removed = [*map(keys.key, (b"x", b"i", b"u", b"v", b"j")), keys.of_lease(b"lc", self._link.lease)]
        self._link.insist(scripts.DISCONNECTED.pack(removed, connection, self._link.node), _ignore)

    def note_rooms(self, tenant_id: str, connection: str, rooms: Sequence[str]) -> None:
        """See `Broker.note_rooms`."""
        self._noted_rooms[tenant_id, connection] = rooms

    async def _send_noted_rooms(self) -> None:
        """Once a second, if Redis is there; else they are in what a new lease enters."""
        noted, self._noted_rooms = self._noted_rooms, {}
        by_tenant: dict[str, list[tuple[str, Sequence[str]]]] = {}
        for (tenant_id, connection), rooms in noted.items():
            by_tenant.setdefault(tenant_id, []).append((connection, rooms))
        try:
            await self._link.ask_all(
                pack_rooms(self._link, tenant_id, connections[start : start + NOTED_CONNECTIONS])
                for tenant_id, connections in by_tenant.items()
                for start in range(0, len(connections), NOTED_CONNECTIONS)
            )
        except RoomcastError:
            self._noted_rooms = noted | self._noted_rooms  # what was noted meanwhile is newer
            raise

    # Reaching

    def broadcast_to_user(self, tenant_id: str, user: str, body: bytes) -> Awaitable[None]:
        """See `Broker.broadcast_to_user`."""
        payload = b"1 u %b\n%b" % (f"{tenant_id} {user}".encode(), body)
        return self._link.ask(pack_tell_user(self._link, tenant_id, user, payload), _ignore)

    def disconnect(
        self, tenant_id: str, *, user: str | None = None, connection: str | None = None, reconnect: bool = False
    ) -> Awaitable[bool]:
        """See `Broker.disconnect`."""
        if user is not None:
            payload = f"1 d {tenant_id} {int(reconnect)} u {user}\n".encode()
            return self._link.ask(pack_tell_user(self._link, tenant_id, user, payload), bool)
        payload = f"1 d {tenant_id} {int(reconnect)} c {connection}\n".encode()
        keys = [TenantKeys(tenant_id).key(b"x")]
        prefix = self._link.keyspace.node_prefix
        return self._link.ask(scripts.TELL_CONNECTION.pack(keys, connection or "", prefix, payload), bool)

    def announce_tenant_change(self, tenant_id: str) -> Awaitable[None]:
        """See `Broker.announce_tenant_change`."""
        return self._link.ask(pack("PUBLISH", self._link.keyspace.all_nodes, f"1 t {tenant_id}\n"), _ignore)

    # Looking

    @within_deadline
    async def counts(self, tenant_id: str) -> TenantCounts:
        """See `Broker.counts`."""
        keys = TenantKeys(tenant_id)
        commands = (pack("HLEN", keys.key(b"x")), pack("HLEN", keys.key(b"u")), pack("ZCARD", keys.key(b"o")))
        return TenantCounts(*await self._link.ask_all(commands))

    @within_deadline
    async def list_rooms(self, tenant_id: str, prefix: str, after: str, limit: int) -> Sequence[RoomCount]:
        """See `Broker.list_rooms`. Rooms that are just being entered or left, with nobody in them, are left out."""
        occupied = TenantKeys(tenant_id).key(b"o")
        end = b"(%b\xff" % prefix.encode() if prefix else b"+"
        rooms: list[RoomCount] = []
        while len(rooms) < limit:
            start = f"({after}" if after >= prefix and after else f"[{prefix}" if prefix else "-"
            size = max(limit - len(rooms), MIN_PAGE)
            packed = pack("ZRANGEBYLEX", occupied, start, end, "LIMIT", 0, size)
            names = [name.decode() for name in (await self._link.ask_all([packed]))[0]]
            rooms += [room for room in await self._count_rooms(tenant_id, names) if room.connections]
            if len(names) < size:
                break
            after = names[-1]
        return rooms[:limit]

    @within_deadline
    async def list_connections(self, tenant_id: str, after: str, limit: int) -> Sequence[ConnectionEntry]:
        """See `Broker.list_connections`. Those that vanish while it looks don't shorten the page."""
        ids = TenantKeys(tenant_id).key(b"i")
        entries: list[ConnectionEntry] = []
        while (wanted := limit - len(entries)) > 0:
            (found,) = await self._link.ask_all([pack("ZRANGEBYLEX", ids, f"({after}", "+", "LIMIT", 0, wanted)])
            entries += await self._entries(tenant_id, found)
            if len(found) < wanted:
                break
            after = found[-1].decode()
        return entries

    @within_deadline
    async def find_connection(self, tenant_id: str, connection: str) -> ConnectionEntry | None:
        """See `Broker.find_connection`."""
        found = await self._entries(tenant_id, [connection.encode()])
        return found[0] if found else None

    @within_deadline
    async def find_user(self, tenant_id: str, user: str) -> Sequence[ConnectionEntry]:
        """See `Broker.find_user`."""
        by_user = TenantKeys(tenant_id).key(b"v")
        (found,) = await self._link.ask_all([pack("ZRANGEBYLEX", by_user, f"[{user}/", f"({user}0")])  # 0 comes after /
        return await self._entries(tenant_id, [member.rpartition(b"/")[2] for member in found])

    async def _count_rooms(self, tenant_id: str, rooms: Sequence[str]) -> list[RoomCount]:
        every = [self._link.keyspace.address(tenant_id, room).keys for room in rooms]
        lengths = await self._link.ask_all([pack("HLEN", keys.key(kind)) for keys in every for kind in (b"n", b"u")])
        return [RoomCount(*counted) for counted in zip(rooms, lengths[::2], lengths[1::2], strict=True)]

    async def _entries(self, tenant_id: str, connections: Sequence[bytes]) -> list[ConnectionEntry]:
        if not connections:
            return []
        keys = TenantKeys(tenant_id)
        wanted = [pack("HMGET", keys.key(kind), *connections) for kind in (b"x", b"j")]
        every = zip(connections, *await self._link.ask_all(wanted), strict=True)
        return [parse_entry(connection, entry, rooms) for connection, entry, rooms in every if entry is not None]


def _connected(reply: int) -> None:
    if reply == 1:
        raise TooMany("max_connections", "tenant")
    if reply == 2:
        raise TooMany("max_connections_per_user", "user")


def _ignore(_reply: object) -> None:
    """The reply says nothing that anybody wants."""
