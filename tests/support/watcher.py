"""A client that watches a room, as a good one does: it keeps the list of members by what it is told."""

import asyncio
from collections.abc import Callable, Sequence

from service.protocol.events import Joined, Member, MembersEvent, OccupancyEvent, Presence
from tests.support.wire_client import Client, Closed


class Watcher:
    """Watches one room on a socket of its own. Made by `watch`; afterwards nobody else reads the socket.

    members: by connection, as far as it was told. At each step joins and leaves must alternate.
    """

    def __init__(self, client: Client, room: str) -> None:
        self.client = client
        self.room = room
        self.members: dict[str, Member] = {}
        self.connections = 0
        self.events: list[Presence | OccupancyEvent] = []
        self.resets = 0
        self._changed = asyncio.Event()
        self._pages = 0
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def watch(cls, client: Client, room: str) -> "Watcher":
        """Join the room and begin."""
        watcher = cls(client, room)
        await client.sends("join", id="watch", room=room, watch=True)
        joined = await client.skips_to(Joined)
        assert isinstance(joined.members, list)
        watcher.members = {member.connection: member for member in joined.members}
        watcher.connections = joined.occupancy.connections
        watcher._reading = asyncio.create_task(watcher._read())
        return watcher

    async def stop(self) -> None:
        """Read no more; raises what was wrong with what was read."""
        assert self._reading is not None
        self._reading.cancel()
        [end] = await asyncio.gather(self._reading, return_exceptions=True)
        if isinstance(end, Exception) and not isinstance(end, Closed):
            raise end

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
            self._pages += 1
            await self._ask()
        is_listing = self._pages > 0  # then a page may know of a change before its event
        for member in event.left:
            assert is_listing or member.connection in self.members, event
            self.members.pop(member.connection, None)
        for member in event.changed:
            was = member.was if isinstance(member.was, str) else member.connection
            assert is_listing or was in self.members, event
            self.members.pop(was, None)
            self.members[member.connection] = member
        for member in event.joined:
            assert is_listing or member.connection not in self.members, event
            self.members[member.connection] = member

    async def _ask(self, **cursor: str) -> None:
        await self.client.sends("members", id="list", room=self.room, limit=1_000, **cursor)

    async def _take_page(self, page: MembersEvent) -> None:
        for member in page.members:
            self.members.setdefault(member.connection, member)
        if isinstance(page.next_cursor, str):
            await self._ask(cursor=page.next_cursor)
        else:
            self._pages -= 1
