"""A client that watches a room, as a good one does: it keeps the list of members by what it is told."""

import asyncio
from collections.abc import Callable, Sequence

from service.protocol.events import Closing, ErrorEvent, Joined, Member, MembersEvent, OccupancyEvent, Presence
from tests.support.checker import check_presence
from tests.support.records import Moved, Record, Sees
from tests.support.wire_client import Client, Closed


class Watcher:
    """Watches one room on a socket of its own. Made by `watch`; afterwards nobody else reads the socket.

    members: by connection, as far as it was told. What it was told is written into `log` too, as of (observer, room);
    joins and leaves must alternate there. away_seconds: how long the server asked it to stay away.
    """

    def __init__(self, client: Client, room: str, log: list[Record], known_as: tuple[str, str]) -> None:
        self.client = client
        self.room = room
        self.away_seconds = 0.0
        self._log = log
        self._known_as = known_as
        self.members: dict[str, Member] = {}
        self.connections = 0
        self.events: list[Presence | OccupancyEvent] = []
        self.resets = 0
        self._changed = asyncio.Event()
        self._pages = 0
        self._left_meanwhile: set[str] = set()  # since the list was asked for: an older page may still hold them
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def watch(
        cls, client: Client, room: str, log: list[Record] | None = None, known_as: tuple[str, str] = ("", "")
    ) -> "Watcher":
        """Join the room and begin. Raises Closed when the join is refused."""
        watcher = cls(client, room, [] if log is None else log, known_as)
        await client.sends("join", id="watch", room=room, watch=True)
        while not isinstance(joined := await client.next(), Joined):
            if isinstance(joined, ErrorEvent):
                client.drop()
                raise Closed(None)
        assert isinstance(joined.members, list)
        watcher.members = {member.connection: member for member in joined.members}
        watcher.connections = joined.occupancy.connections
        watcher._sees_all(is_exact=True)
        watcher._reading = asyncio.create_task(watcher._read())
        return watcher

    async def stop(self) -> None:
        """Read no more; raises what was wrong with what was read."""
        assert self._reading is not None
        self._reading.cancel()
        [end] = await asyncio.gather(self._reading, return_exceptions=True)
        if isinstance(end, Exception) and not isinstance(end, Closed):
            raise end
        assert list(check_presence(self._log)) == []

    async def ends(self) -> None:
        """Wait for the socket's end, and raise it."""
        assert self._reading is not None
        await self._reading

    @property
    def is_sure(self) -> bool:
        """Whether its list is whole: no page of it is awaited."""
        return self._pages == 0

    async def until(self, holds: Callable[[], bool], within_seconds: float = 10) -> None:
        """Wait until it holds; fails with what was told."""
        try:
            async with asyncio.timeout(within_seconds):
                while not holds():
                    assert self._reading is not None
                    if self._reading.done():
                        self._reading.result()
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError((self.connections, sorted(self.members), self.events[-5:])) from None

    async def knows(self, connections: Sequence[str], within_seconds: float = 10) -> None:
        """Wait until it knows of exactly these."""
        wanted = set(connections)
        await self.until(lambda: set(self.members) == wanted and self.connections == len(wanted), within_seconds)

    async def _read(self) -> None:
        try:
            while True:
                event = await self.client.next(60)
                match event:
                    case Presence() | OccupancyEvent():
                        await self._take(event)
                    case MembersEvent():
                        await self._take_page(event)
                    case Closing():
                        self.away_seconds = event.after_ms / 1000
                    case _:
                        pass
                self._changed.set()
        finally:
            self._changed.set()

    async def _take(self, event: Presence | OccupancyEvent) -> None:
        self.events.append(event)
        if isinstance(event, OccupancyEvent):
            self.connections = event.connections
            return
        self.connections = event.occupancy.connections
        if event.reset is True:
            self.resets += 1
            self.members.clear()
            self._left_meanwhile.clear()
            self._log.append(Sees(*self._known_as, None))
            self._pages += 1
            await self._ask()
        for member in event.left:
            self._moves(member.connection, None)
        for member in event.changed:
            if isinstance(member.was, str):
                self._moves(member.was, None)
                self._moves(member.connection, member)
            else:
                self.members[member.connection] = member
        for member in event.joined:
            self._moves(member.connection, member)

    def _moves(self, connection: str, member: Member | None) -> None:
        self._log.append(Moved(*self._known_as, connection, member is not None))
        if member is None:
            self.members.pop(connection, None)
            self._left_meanwhile.add(connection)
        else:
            self.members[connection] = member

    def _sees_all(self, *, is_exact: bool) -> None:
        self._log.append(Sees(*self._known_as, frozenset(self.members), is_exact))

    async def _ask(self, **cursor: str) -> None:
        await self.client.sends("members", id="list", room=self.room, limit=1_000, **cursor)

    async def _take_page(self, page: MembersEvent) -> None:
        for member in page.members:
            if member.connection not in self._left_meanwhile:
                self.members.setdefault(member.connection, member)
        if isinstance(page.next_cursor, str):
            await self._ask(cursor=page.next_cursor)
        else:
            self._pages -= 1
            if self._pages == 0:
                self._sees_all(is_exact=False)
