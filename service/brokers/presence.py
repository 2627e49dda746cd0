"""Who is in a room, and what they show: changes, pages, watching, and the end of graces.

A grace ends by Redis' clock. The node whose socket was lost sees to it; when that node is gone, any other one does,
which looks every few seconds for what is overdue.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from itertools import islice
from typing import Any, Final

from service.brokers import scripts
from service.brokers.asking import SLICE_COMMANDS
from service.brokers.broker import RoomAddress
from service.brokers.entries import pack_tell_user
from service.brokers.envelope import parse_member
from service.brokers.keys import PARTITIONS, Keyspace, RoomKeys
from service.brokers.link import Link
from service.brokers.members import MemberPage, RoomMember, Snapshot
from service.brokers.registry import within_deadline

ENDED_AT_ONCE: Final = 200  # absences a call; 1 ms of Redis
ABSENCES_SECONDS: Final = 0.1  # how late a grace may end
OVERDUE_SECONDS: Final = 5.0  # how often all partitions are looked at; 256 calls of 2 us
OVERDUE_MS: Final = 1_000  # before that the node that saw the socket go may still come
OVERDUE_ROOMS: Final = 1_000


class Absences:
    """Rooms in which members are absent, and when this node sees to the first of them, by the loop's clock."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._due: dict[str, tuple[float, RoomAddress]] = {}

    def note(self, address: RoomAddress, delay_ms: int) -> None:
        """A grace ends in so long."""
        name, at = _name(address), asyncio.get_running_loop().time() + delay_ms / 1_000
        known = self._due.get(name)
        if known is None or at < known[0]:
            self._due[name] = (at, address)

    async def end(self) -> None:
        """End the graces that are over. Raises RoomcastError: then they are ended later."""
        now = asyncio.get_running_loop().time()
        over = (address for at, address in list(self._due.values()) if at <= now)
        due = (address for address in over if self._link.reaches(address.keys.channel))
        while some := list(islice(due, SLICE_COMMANDS)):
            await asyncio.gather(*map(self._end_in_time, some))

    async def _end_in_time(self, address: RoomAddress) -> None:
        del self._due[_name(address)]  # one that begins meanwhile may be in no answer: it is noted by itself
        try:
            while (next_ms := await self.end_in(address)) == 0:
                pass
        except BaseException:
            self.note(address, 0)
            raise
        if next_ms > 0:
            self.note(address, next_ms)

    async def look_for_overdue(self) -> None:
        """End the graces that nobody ended in time. Raises RoomcastError."""
        asked = [
            scripts.OVERDUE.pack([Keyspace.absences(each)], OVERDUE_MS, OVERDUE_ROOMS) for each in range(PARTITIONS)
        ]
        for names in await self._link.ask_all(filter(self._link.reaches, asked)):
            for name in names:
                tenant_id, _, room = name.decode().partition("/")
                self.note(self._link.keyspace.address(tenant_id, room), 0)

    async def end_in(self, address: RoomAddress, user: str = "") -> int:
        """End those that are over in a room, or all of a user's; in how many ms the next one is (-1: there is none)."""
        packed = scripts.END_ABSENCE.pack(absence_keys(address), _name(address), ENDED_AT_ONCE, user)
        next_ms: int = await self._link.insist_on(packed, int)
        return next_ms


class Presence:
    """Its part of `Broker`, but for joining and leaving."""

    _link: Link
    _absences: Absences
    _is_stopping: bool

    def set_info(self, address: RoomAddress, connection: str, info: bytes) -> None:
        """See `Members.set_info`. What Redis does not take now, the next lease enters."""
        self._link.send(self._pack_change(address, connection, "info", info), _ignore)

    def set_state(self, address: RoomAddress, connection: str, state: bytes) -> Awaitable[bool]:
        """See `Members.set_state`."""
        return self._link.ask_under_lease(self._pack_change(address, connection, "state", state), bool)

    def _pack_change(self, address: RoomAddress, connection: str, what: str, value: bytes) -> bytes:
        keys: RoomKeys = address.keys
        changed = [keys.channel, *map(keys.key, (b"n", b"u", b"w"))]
        return scripts.CHANGE_MEMBER.pack(changed, connection, self._link.lease, what, value)

    def list_members(self, address: RoomAddress, after: str, limit: int, max_bytes: int) -> Awaitable[MemberPage]:
        """See `Members.list_members`."""
        listed = [*map(address.keys.key, (b"n", b"u", b"l", b"g"))]
        return self._link.ask(scripts.LIST_MEMBERS.pack(listed, after, limit, max_bytes), _listed)

    def watch(self, address: RoomAddress) -> Awaitable[Snapshot]:
        """See `Members.watch`."""
        packed = scripts.WATCH.pack([*map(address.keys.key, (b"n", b"u", b"w"))], self._link.lease)
        return self._link.ask_under_lease(packed, _watched)

    def unwatch(self, address: RoomAddress) -> None:
        """See `Members.unwatch`. With Redis away the next lease knows nothing of it anyhow."""
        self._link.insist(scripts.UNWATCH.pack([address.keys.key(b"w")], self._link.lease), _ignore)

    @within_deadline
    async def expel_user(self, address: RoomAddress, user: str) -> None:
        """See `Members.expel_user`."""
        payload = f"1 x {address.tenant_id} {address.room} {user}\n".encode()
        await self._link.ask(pack_tell_user(self._link, address.tenant_id, user, payload), _ignore)
        await self._absences.end_in(address, user)

    async def _keep_absences(self) -> None:
        loop = asyncio.get_running_loop()
        look_at = 0.0
        while not self._is_stopping:
            await asyncio.sleep(ABSENCES_SECONDS)
            if not self._link.is_open:
                continue
            await self._absences.end()
            if loop.time() >= look_at:
                look_at = loop.time() + OVERDUE_SECONDS
                await self._absences.look_for_overdue()


def absence_keys(address: RoomAddress) -> list[bytes]:
    """The keys of leave.lua and end_absence.lua."""
    keys: RoomKeys = address.keys
    kinds = (b"n", b"u", b"l", b"w", b"g", b"e")
    return [keys.channel, *map(keys.key, kinds), Keyspace.absences(address.partition)]


def _name(address: RoomAddress) -> str:
    return f"{address.tenant_id}/{address.room}"


def parse_page(reply: Sequence[Any]) -> list[RoomMember]:
    """The members of a reply that ends with a page of them."""
    return [parse_member(name.decode(), member) for name, member in zip(reply[1::2], reply[2::2], strict=True)]


def _listed(reply: Sequence[Any]) -> MemberPage:
    return MemberPage(parse_page(reply[2:]), reply[2] == 1, reply[0], reply[1])


def _watched(reply: Sequence[Any]) -> Snapshot:
    return Snapshot(int(reply[0]), reply[1], reply[2])


def _ignore(_reply: object) -> None:
    """The reply says nothing that anybody wants."""
