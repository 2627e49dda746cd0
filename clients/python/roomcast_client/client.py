"""The client: one connection at a time, kept up; rooms, and what is sent to users."""

import asyncio
import logging
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Final, Literal, TypeAlias, overload

from msgspec import UNSET

from roomcast_client import commands
from roomcast_client.calls import Calls
from roomcast_client.contract import MessageT, RoomContract, SignalT, StateT, encode, untyped
from roomcast_client.errors import ClientClosed, RoomcastError, refusal
from roomcast_client.events import (
    Direct,
    ErrorEvent,
    Event,
    Expiring,
    Left,
    Pong,
    Reply,
    Sent,
    Welcome,
)
from roomcast_client.exchange import Exchange
from roomcast_client.inbox import Inbox
from roomcast_client.membership import Membership
from roomcast_client.refresher import Refresher
from roomcast_client.returning import Backoff, Return, after_refusal
from roomcast_client.room import Room
from roomcast_client.session import Session, dial
from roomcast_client.tokens import GetToken, Tokens

log = logging.getLogger(__name__)

#: `connecting` for the first time, `online`, `offline` on its way back, `closed` for good.
Status: TypeAlias = Literal["connecting", "online", "offline", "closed"]

# A connection that ends earlier has not shown that the server can hold it: the backoff goes on growing.
STABLE_SECONDS: Final = 10.0
UNTYPED: Final = untyped()


class Client:
    """`async with` it connects, and stays connected; nothing that it does waits for the connection but what must.

    url: as wss://example.com/v1/connect. get_token: gives a new token of the same user, async or not; asked for as
    seldom as possible; if it raises, it is asked again later.
    ack_timeout_seconds: how long an answer may take before a command is sent again, and a connection may take to open.
    max_queued, max_queued_bytes: what may wait while there is no connection; then QueueFull.
    """

    def __init__(
        self,
        url: str,
        *,
        get_token: GetToken,
        backoff: Backoff | None = None,
        ack_timeout_seconds: float = 10.0,
        max_queued: int = 1000,
        max_queued_bytes: int = 8 * 1024 * 1024,
    ) -> None:
        self._url = url
        self._tokens = Tokens(get_token)
        self._backoff = backoff or Backoff()
        self._ack_timeout_seconds = ack_timeout_seconds
        self._exchange = Exchange(Calls(self._backoff, max_queued, max_queued_bytes))
        self._refresher = Refresher(self._tokens, self._exchange, self._backoff)
        self._rooms: dict[str, Membership] = {}
        self._directs: Inbox[Direct] = Inbox("", 1000)
        self._runner: asyncio.Task[None] | None = None
        self._status: Status = "connecting"
        self._status_changed = asyncio.Event()
        #: What the server said of the last connection: its id, the user, the limits.
        self.welcome: Welcome | None = None

    # Its life

    async def __aenter__(self) -> "Client":
        if self._runner is not None:
            raise RuntimeError("a client is used once")
        self._runner = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection (1000) and end all that waits with ClientClosed."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        self._end(ClientClosed("the client was closed"), is_own=True)

    @property
    def status(self) -> Status:
        """How it stands with the connection."""
        return self._status

    async def statuses(self) -> AsyncIterator[Status]:
        """The status now, and each one that it changes to and stays in for a moment; ends with `closed`."""
        told: Status | None = None
        while told != "closed":
            changed = self._status_changed
            if self._status != told:
                told = self._status
                yield told
            else:
                await changed.wait()

    # What it is for

    @overload
    def room(
        self, name: str, *, recover: bool = ..., watch: bool = ..., state: Any = ..., since: str | None = ...,
        max_waiting: int = ...,
    ) -> Room[Any, Any, Any]: ...  # fmt: skip
    @overload
    def room(
        self, name: str, contract: RoomContract[MessageT, SignalT, StateT], *, recover: bool = ..., watch: bool = ...,
        state: StateT | None = ..., since: str | None = ..., max_waiting: int = ...,
    ) -> Room[MessageT, SignalT, StateT]: ...  # fmt: skip
    def room(
        self,
        name: str,
        contract: RoomContract[Any, Any, Any] = UNTYPED,
        *,
        recover: bool = True,
        watch: bool = False,
        state: Any = None,
        since: str | None = None,
        max_waiting: int = 10_000,
    ) -> Room[Any, Any, Any]:
        """A room, not joined yet.

        contract: the room type of a generated module, as CHAT; without one its values are plain.
        recover: after a break what was missed comes, or a `gap` says what did not. since: where to begin.
        watch: `presence` comes, and `Room.members` is kept. state: one's own, shown to the other members.
        max_waiting: events that may wait for the application; over it the oldest become a `gap` `behind`.
        Raises ValueError if the name is not of the contract's pattern.
        """
        if not contract.matches(name):
            raise ValueError(f"{name} is no room of {contract.pattern}")

        def make() -> Membership:
            return Membership(
                name,
                contract,
                self._exchange,
                recovers=recover,
                watches=watch,
                state=UNSET if state is None else encode(state),
                since=since,
                max_waiting=max_waiting,
            )

        return Room(name, contract, self._exchange, self._enter, make, self._ack_timeout_seconds)

    async def send(self, user: str, data: Any, *, name: str | None = None) -> None:
        """Send to all connections of a user, at most once. Raises RoomcastError, NotConnected."""
        command = commands.Send(user=user, data=encode(data), name=UNSET if name is None else name)
        await self._exchange.ask(command, Sent, repeats=False, waits=False)

    async def directs(self) -> AsyncIterator[Direct]:
        """What is sent to this user. Raises RoomcastError if the client can't go on."""
        while True:
            try:
                event = await self._directs.take()
            except StopAsyncIteration:
                return
            if isinstance(event, Direct):
                yield event

    async def ping(self) -> int:
        """The server's time, Unix milliseconds."""
        return (await self._exchange.ask(commands.Ping(), Pong, repeats=True)).time_ms

    # Inside

    def _enter(self, membership: Membership) -> None:
        if membership.name in self._rooms:
            raise ValueError(f"the client is in {membership.name} already")
        if self._exchange.closed is not None:
            raise self._exchange.closed
        self._rooms[membership.name] = membership
        membership.on_end = lambda: self._forget(membership)
        if self._exchange.is_online:
            membership.join()

    def _forget(self, membership: Membership) -> None:
        if self._rooms.get(membership.name) is membership:
            del self._rooms[membership.name]

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        tries = 0
        while True:
            started_at = loop.time()
            try:
                next_step = await self._connect_once()
            except asyncio.CancelledError:
                raise
            except Exception as error:
                log.exception("the client failed")
                next_step = Return(comes_back=False, why=f"the client failed: {type(error).__name__}")
            if next_step.needs_token:
                self._tokens.refused()
            if not next_step.comes_back:
                self._end(ClientClosed(next_step.why))
                return
            self._set_status("offline")
            tries = 0 if loop.time() - started_at >= STABLE_SECONDS else tries
            pause = self._backoff.delay(tries) if next_step.backs_off else 0.0
            tries += 1
            log.info("back in %.1f s at the earliest: %s", max(pause, next_step.after_seconds), next_step.why)
            await asyncio.sleep(max(pause, next_step.after_seconds))

    async def _connect_once(self) -> Return:
        try:
            token = await self._tokens.current()
        except Exception as error:
            log.warning("get_token failed: %s", type(error).__name__)
            return Return(comes_back=True, why="get_token failed")
        try:
            socket = await dial(self._url, token, self._ack_timeout_seconds)
        except RoomcastError as error:
            return after_refusal(error)
        try:
            return await Session(socket, self._exchange, self._hear, self._ack_timeout_seconds).run()
        finally:
            self._refresher.stop()
            for membership in self._rooms.values():
                membership.connection_lost()
            self._exchange.calls.connection_lost(asyncio.get_running_loop().time())

    def _hear(self, event: Event) -> None:
        match event:
            case Welcome():
                self._welcomed(event)
            case ErrorEvent():
                now = asyncio.get_running_loop().time()
                if not self._exchange.calls.error(event.id, refusal(event), now):
                    log.warning("refused: %s: %s", event.code, event.message)
                self._exchange.woken.set()
            case Direct():
                self._directs.put(event, None)
            case Expiring():
                self._refresher.expiring(event.in_seconds)
            case _:
                membership = self._rooms.get(getattr(event, "room", ""))
                is_reply = isinstance(event, Reply) and event.id is not UNSET
                if membership is not None and not (is_reply and isinstance(event, Left)):
                    membership.hear(event)
                if isinstance(event, Reply) and is_reply:
                    self._exchange.calls.reply(event)

    def _welcomed(self, welcome: Welcome) -> None:
        self.welcome = welcome
        self._tokens.accepted(welcome.expires_at_ms)
        self._set_status("online")
        for membership in list(self._rooms.values()):
            membership.join()
        self._exchange.woken.set()

    def _end(self, error: ClientClosed, *, is_own: bool = False) -> None:
        if self._exchange.closed is None:
            for membership in list(self._rooms.values()):
                membership.end(None if is_own and membership.entered.done() else error)
            self._exchange.end(error)
            self._directs.end(None if is_own else error)
            self._set_status("closed")

    def _set_status(self, status: Status) -> None:
        if status != self._status:
            self._status = status
            changed, self._status_changed = self._status_changed, asyncio.Event()
            changed.set()
