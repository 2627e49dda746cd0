"""A room that is, or is to be, joined: on each connection anew, from where it was, until it is left."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, Final

from msgspec import UNSET, Raw, UnsetType

from roomcast_client import commands
from roomcast_client.calls import Call
from roomcast_client.contract import RoomContract
from roomcast_client.cursor import Cursor
from roomcast_client.errors import RoomcastError, Unavailable
from roomcast_client.events import (
    Event,
    Gap,
    Joined,
    Left,
    Member,
    MembersEvent,
    Message,
    OccupancyEvent,
    Presence,
    Published,
    Reply,
    SignalEvent,
)
from roomcast_client.exchange import Exchange
from roomcast_client.inbox import Inbox
from roomcast_client.members import MemberList

log = logging.getLogger(__name__)

PAGE_MEMBERS: Final = 1000


class Membership:
    """What `Room` and the client's one connection know of a room in common.

    watches, state: as of `join`. recovers: joins again `since` where it was; otherwise with what is live only.
    """

    def __init__(
        self,
        name: str,
        contract: RoomContract[Any, Any, Any],
        exchange: Exchange,
        *,
        recovers: bool,
        watches: bool,
        state: Raw | UnsetType,
        since: str | None,
        max_waiting: int,
    ) -> None:
        self.name = name
        self.contract = contract
        self.state = state
        self.cursor = Cursor(since)
        self.inbox: Inbox[Event] = Inbox(name, max_waiting)
        self.members: MemberList[Any] = MemberList()
        self.is_joined = False
        self.entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_end: Callable[[], None] = lambda: None
        self._exchange = exchange
        self._recovers = recovers
        self._watches = watches
        self._call: Call | None = None
        self._was_joined = False
        self._reading: asyncio.Task[None] | None = None

    def join(self) -> None:
        """Ask for it on this connection. Until that is answered it may be out of the room, whatever held before."""
        self.is_joined = False
        self._withdraw()
        since = self.cursor.position if self._recovers else None
        command = commands.Join(
            room=self.name, since=UNSET if since is None else since, watch=self._watches, state=self.state
        )
        self._call = Call(command, self._succeed, self.end, repeats=True, rank=1)
        self._exchange.post(self._call)

    def connection_lost(self) -> None:
        """The next connection joins anew."""
        self.is_joined = False
        self._withdraw()

    def end(self, error: RoomcastError | None = None) -> None:
        """The room is over: it was left, taken away, or can't be joined."""
        self.is_joined = False
        self._withdraw()
        if self._reading is not None:
            self._reading.cancel()
        if not self.entered.done():
            self.entered.set_exception(error or Unavailable("the room was left", room=self.name))
            self.entered.exception()  # who entered is told; if nobody did, nobody need be
        self.inbox.end(error)
        self.on_end()

    def hear(self, event: Event) -> None:
        """An event of this room."""
        match event:
            case Message():
                if self.cursor.message(None if event.offset is UNSET else event.offset):
                    event.data = self.contract.messages.decode(event.name, event.data)
                    self._deliver(event)
            case Published() if self.is_joined:  # else messages before it may have passed by
                self.cursor.published(event.position, event.duplicate)
            case Gap():
                self.cursor.gap(event.to)
                self._deliver(event)
            case SignalEvent():
                event.data = self.contract.signals.decode(event.name, event.data)
                self._deliver(event)
            case Presence():
                self._decode_states(event.joined, event.changed, event.left)
                if self.members.presence(event):
                    self._read_pages()
                self._deliver(event)
            case OccupancyEvent():
                self.members.occupied(event)
                self._deliver(event)
            case Left():
                self._deliver(event)
                self.end()

    def decode_page(self, page: MembersEvent[Any]) -> None:
        """Give the members of a page the contract's state."""
        self._decode_states(page.members)

    def _deliver(self, event: Event) -> None:
        self.inbox.put(event, self.cursor.position)

    def _succeed(self, reply: Reply) -> None:
        self._call = None
        if not isinstance(reply, Joined):
            self.end(RoomcastError(f"answered with {type(reply).__name__}", code="internal"))
            return
        self.cursor.joined(reply.position, reply.recovered)
        if self._was_joined and self._recovers and reply.recovered is None:
            # There was no position to come back to: what a room without history said meanwhile is lost.
            self._deliver(Gap(room=self.name, from_=None, to=reply.position, reason="unstored"))
        if not self._was_joined:
            self.inbox.start(self.cursor.position)
        self.is_joined = self._was_joined = True
        if reply.members is not UNSET:
            self._decode_states(reply.members)
        if self.members.joined(reply):
            self._read_pages()
        if not self.entered.done():
            self.entered.set_result(None)

    def _withdraw(self) -> None:
        if self._call is not None:
            self._exchange.calls.withdraw(self._call)
            self._call = None

    def _decode_states(self, *lists: list[Member[Any]]) -> None:
        for members in lists:
            for member in members:
                if member.state is not UNSET:
                    member.state = self.contract.decode_state(member.state)

    def _read_pages(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        self._reading = asyncio.get_running_loop().create_task(self._read(self.members.generation))

    async def _read(self, generation: int) -> None:
        cursor: str | UnsetType = UNSET
        with contextlib.suppress(RoomcastError):  # the list stays incomplete, as `is_complete` says
            while True:
                command = commands.Members(room=self.name, cursor=cursor, limit=PAGE_MEMBERS)
                page = await self._exchange.ask(command, MembersEvent, repeats=True)
                if generation != self.members.generation:
                    return
                self.decode_page(page)
                self.members.page(page)
                if page.next_cursor is UNSET:
                    return
                cursor = page.next_cursor
