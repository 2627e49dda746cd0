"""A room, as the application has it."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Generic, cast

from msgspec import UNSET, Raw, UnsetType

from roomcast_client import commands
from roomcast_client.contract import MessageT, RoomContract, SignalT, StateT, encode
from roomcast_client.errors import OutcomeUnknown, RoomcastError
from roomcast_client.events import (
    HistoryEvent,
    Left,
    MembersEvent,
    Published,
    RoomEvent,
    Signalled,
    StateSet,
)
from roomcast_client.exchange import Exchange
from roomcast_client.members import MemberList
from roomcast_client.membership import Membership


class Room(Generic[MessageT, SignalT, StateT]):
    """`async with` it is joined, and joined again on each new connection, from where it was; iterate over its events.

    Made by `Client.room`. To `publish`, to read `history` and `members_page` it need not be joined.
    """

    def __init__(
        self,
        name: str,
        contract: RoomContract[MessageT, SignalT, StateT],
        exchange: Exchange,
        enter: Callable[[Membership], None],
        make: Callable[[], Membership],
        leave_timeout_seconds: float,
    ) -> None:
        #: The room's name.
        self.name = name
        #: What is said in it.
        self.contract = contract
        self._exchange = exchange
        self._enter = enter
        self._make = make
        self._leave_timeout_seconds = leave_timeout_seconds
        self._membership: Membership | None = None

    # Being in it

    async def __aenter__(self) -> "Room[MessageT, SignalT, StateT]":
        await self.join()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(RoomcastError, TimeoutError):
            async with asyncio.timeout(self._leave_timeout_seconds):
                await self.leave()

    async def join(self) -> None:
        """Back when it is joined for the first time; as long as there is no connection it waits for one.

        Raises the RoomcastError that refuses it for good, ClientClosed; ValueError if the client is in it already.
        """
        self._membership = self._make()
        self._enter(self._membership)
        try:
            await asyncio.shield(self._membership.entered)
        except asyncio.CancelledError:
            self._membership.end()
            raise

    async def leave(self) -> None:
        """Out of it, at once where there is no connection."""
        membership = self._membership
        if membership is None:
            return
        is_there = self._exchange.is_online and not membership.inbox.has_ended
        membership.end()
        if is_there:
            with contextlib.suppress(OutcomeUnknown):  # the connection has ended, and with it this
                await self._exchange.ask(commands.Leave(room=self.name), Left, repeats=False, rank=1)

    @property
    def is_joined(self) -> bool:
        """Whether it is joined now; between two connections it is not."""
        return self._membership is not None and self._membership.is_joined

    @property
    def position(self) -> str | None:
        """Where the application is: after the last event that it took. `Client.room(since=…)` goes on from there."""
        if self._membership is None:
            return None
        return self._membership.inbox.seen(self._membership.cursor.position)

    @property
    def members(self) -> MemberList[StateT]:
        """Who is in it, if it is watched; kept up to date by itself."""
        return cast(MemberList[StateT], self._joined().members)

    # What is said in it

    def __aiter__(self) -> AsyncIterator[RoomEvent[MessageT, SignalT, StateT]]:
        return self

    async def __anext__(self) -> RoomEvent[MessageT, SignalT, StateT]:
        """The next event. It ends when the room is left; raises RoomcastError if the room or the client can't go on."""
        event = await self._joined().inbox.take()
        return cast(RoomEvent[MessageT, SignalT, StateT], event)

    async def publish(
        self, message: MessageT, *, name: str | None = None, key: str | None = None, echo: bool = False
    ) -> Published:
        """Publish, and wait until Redis has it; over breaks it is sent again with its key, so that it counts once.

        name: found by the message's class where the room has a contract. key: your own, if the process itself may
        repeat it. echo: the message also comes back as an event. Raises RoomcastError: what the server says, QueueFull,
        OutcomeUnknown after 270 s of trying. Cancelled, the outcome is unknown.
        """
        wire_name, data = self.contract.messages.encode(message, name)
        command = commands.Publish(room=self.name, data=data, name=wire_name, key=key or uuid.uuid4().hex, echo=echo)
        return await self._exchange.ask(command, Published, repeats=True)

    async def signal(self, signal: SignalT, *, name: str | None = None, echo: bool = False) -> None:
        """Send what is never kept. Raises RoomcastError; NotConnected while there is no connection."""
        wire_name, data = self.contract.signals.encode(signal, name)
        command = commands.Signal(room=self.name, data=data, name=wire_name, echo=echo)
        await self._exchange.ask(command, Signalled, repeats=False, waits=False)

    async def set_state(self, state: StateT) -> None:
        """Change one's own state; it is set again with each join. Raises RoomcastError."""
        membership = self._joined()
        raw = encode(state)
        await self._exchange.ask(commands.SetState(room=self.name, state=raw), StateSet, repeats=True)
        membership.state = raw

    async def history(
        self, *, since: str | None = None, before: str | None = None, limit: int = 100
    ) -> HistoryEvent[MessageT]:
        """A page of what is kept, ascending; the bounds are left out. Raises RoomcastError."""
        command = commands.History(room=self.name, since=_or_unset(since), before=_or_unset(before), limit=limit)
        page: HistoryEvent[Any] = await self._exchange.ask(command, HistoryEvent, repeats=True)
        for item in page.messages:
            item.data = self.contract.messages.decode(item.name, item.data)
        return page

    async def members_page(self, *, cursor: str | None = None, limit: int = 100) -> MembersEvent[StateT]:
        """A page of who is in it, whether it is watched or not. Raises RoomcastError."""
        command = commands.Members(room=self.name, cursor=_or_unset(cursor), limit=limit)
        page: MembersEvent[Any] = await self._exchange.ask(command, MembersEvent, repeats=True)
        for member in page.members:
            if isinstance(member.state, Raw):
                member.state = self.contract.decode_state(member.state)
        return page

    def _joined(self) -> Membership:
        if self._membership is None:
            raise RuntimeError(f"join {self.name} first: async with client.room(…) as room")
        return self._membership


def _or_unset(value: str | None) -> str | UnsetType:
    return UNSET if value is None else value
