"""One connection, from `welcome` to its end: what comes is handed on, what waits is sent, what is late again."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from roomcast_client.errors import TooLarge, Unavailable, from_problem
from roomcast_client.events import Closing, Event, Welcome
from roomcast_client.exchange import Exchange
from roomcast_client.pace import Pace
from roomcast_client.returning import Return, after_close
from roomcast_client.wire import BrokenFrame, decode

log = logging.getLogger(__name__)

SUBPROTOCOL: Final = Subprotocol("roomcast.v1.json")
CLOSE_TIMEOUT_SECONDS: Final = 1.0  # the server closes at once; a network that is gone is not waited for
PING_SECONDS: Final = 20.0  # routers forget silent connections after 30 s and more
LOOKS_PER_TIMEOUT: Final = 4


async def dial(url: str, token: str, timeout_seconds: float) -> ClientConnection:
    """A connection that is open. Raises RoomcastError: with the HTTP status of a refusal, or Unavailable."""
    try:
        return await connect(
            url,
            additional_headers={"Authorization": f"Bearer {token}"},
            subprotocols=[SUBPROTOCOL],
            compression=None,  # the server has none
            max_size=None,  # it is the server that bounds what comes: a message, or a page of 512 KiB
            open_timeout=timeout_seconds,
            close_timeout=CLOSE_TIMEOUT_SECONDS,
            ping_interval=PING_SECONDS,
            ping_timeout=timeout_seconds,
        )
    except InvalidStatus as refused:
        raise from_problem(refused.response.status_code, bytes(refused.response.body or b"")) from None
    except (OSError, TimeoutError, WebSocketException) as error:
        raise Unavailable(f"no connection: {type(error).__name__}: {error}") from None


class Session:
    """`run` it once. `hear` gets every event, in order, and must not raise."""

    def __init__(
        self, socket: ClientConnection, exchange: Exchange, hear: Callable[[Event], None], ack_timeout_seconds: float
    ) -> None:
        self._socket = socket
        self._exchange = exchange
        self._hear = hear
        self._ack_timeout_seconds = ack_timeout_seconds
        self._loop = asyncio.get_running_loop()
        self._welcomed = asyncio.Event()
        self._pace = Pace(None, None, 0.0)
        self._max_frame_bytes: int | None = None

    async def run(self) -> Return:
        """Until the connection ends: what to do then. Cancelled, it closes with 1000."""
        helpers = [asyncio.create_task(self._write()), asyncio.create_task(self._watch())]
        try:
            return await self._read()
        finally:
            self._exchange.is_online = False
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            await self._socket.close()

    async def _read(self) -> Return:
        closing: Closing | None = None
        try:
            while True:
                event = decode(await self._socket.recv())
                match event:
                    case None:
                        continue  # of a later version
                    case Closing():
                        closing = event
                    case Welcome():
                        self._take_limits(event)
                self._hear(event)
        except ConnectionClosed as end:
            return after_close(end.rcvd.code if end.rcvd is not None else None, closing)
        except BrokenFrame as error:
            log.warning("an event that could not be read: %s", error)
            return Return(comes_back=True, why="an event could not be read")

    def _take_limits(self, welcome: Welcome) -> None:
        limits = welcome.limits
        self._pace = Pace(limits.commands_per_second, limits.commands_burst, self._loop.time())
        self._max_frame_bytes = limits.max_frame_bytes
        self._exchange.is_online = True
        self._welcomed.set()

    async def _write(self) -> None:
        await self._welcomed.wait()
        calls = self._exchange.calls
        while True:
            now = self._loop.time()
            pause = self._pace.wait_seconds(now)
            call = calls.take(now) if pause == 0 else None
            if call is None:
                await self._until_due(now, pause)
            elif self._max_frame_bytes is not None and len(call.frame) > self._max_frame_bytes:
                # The server would close with 1009, and that is for good.
                too_large = TooLarge(f"over {self._max_frame_bytes} bytes", room=call.room, limit="max_frame_bytes")
                calls.fail(call, too_large)
            else:
                self._pace.spend()
                await self._socket.send(call.frame, text=True)

    async def _until_due(self, now: float, pause: float) -> None:
        self._exchange.woken.clear()
        due_at = self._exchange.calls.next_due_at()
        if due_at is not None and pause > 0:
            await asyncio.sleep(pause)
            return
        try:
            async with asyncio.timeout(None if due_at is None else max(0.0, due_at - now)):
                await self._exchange.woken.wait()
        except TimeoutError:
            return

    async def _watch(self) -> None:
        """Without an answer in time a command goes again, and a connection that gives no pong either is dropped."""
        while True:
            await asyncio.sleep(self._ack_timeout_seconds / LOOKS_PER_TIMEOUT)
            if not self._exchange.calls.overdue(self._loop.time(), self._ack_timeout_seconds):
                continue
            self._exchange.woken.set()
            try:
                async with asyncio.timeout(self._ack_timeout_seconds):
                    await (await self._socket.ping())
            except TimeoutError:
                self._socket.transport.abort()
                return
