"""Events of a room on their way to the application; who lets too many wait gets a `gap` in place of the oldest."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

from roomcast_client.errors import RoomcastError
from roomcast_client.events import Gap

EventT = TypeVar("EventT")


class Inbox(Generic[EventT]):
    """One reader takes what is put, in order. Over the bound the older half goes, and a `gap` `behind` says so."""

    def __init__(self, room: str, max_waiting: int) -> None:
        self._room = room
        self._max_waiting = max_waiting
        self._waiting: deque[tuple[EventT | Gap, str | None]] = deque()
        #: Nothing comes any more.
        self.has_ended = False
        self._error: RoomcastError | None = None
        self._woken = asyncio.Event()
        self._taken: str | None = None  # the position after the last event that was taken

    def put(self, event: EventT | Gap, position: str | None) -> None:
        """An event, and where the room is after it."""
        if self.has_ended:
            return
        if len(self._waiting) >= self._max_waiting:
            before = self._taken
            first = self._waiting[0][0]
            if isinstance(first, Gap) and first.reason == "behind":
                before = first.from_
            for _ in range(max(1, self._max_waiting // 2)):
                _, after = self._waiting.popleft()
            self._waiting.appendleft((Gap(room=self._room, from_=before, to=after, reason="behind"), after))
        self._waiting.append((event, position))
        self._woken.set()

    def end(self, error: RoomcastError | None = None) -> None:
        """Nothing comes any more: the reader gets what waits, then the error or the end."""
        self.has_ended, self._error = True, error
        self._woken.set()

    def seen(self, reached: str | None) -> str | None:
        """The position of what the reader has; `reached` if nothing waits."""
        return self._taken if self._waiting else reached

    def start(self, position: str | None) -> None:
        """The room was joined here: before the first event nothing is missed."""
        if not self._waiting:
            self._taken = position

    async def take(self) -> EventT | Gap:
        """The next event. Raises StopAsyncIteration or the error after the end."""
        while not self._waiting:
            if self.has_ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._woken.clear()
            await self._woken.wait()
        event, self._taken = self._waiting.popleft()
        return event
