"""One open WebSocket as a light asyncio.Protocol: no task, no queue, no timer of its own; 2 KB idle with its transport.

The states and what follows what are in `socket_state`; all that changes the state here is `_enter`.
"""

import asyncio
import logging
import socket
from collections.abc import MutableSet
from typing import Any, Final, Protocol

from service.telemetry import counters
from service.transports.frame_reader import FrameReader
from service.transports.frames import BINARY, CLOSE, PING, PONG, TEXT, FrameError, close_code, close_frame, frame
from service.transports.intake import BYTES_OF_A_FRAME, FRAMES_PER_SLICE
from service.transports.outbox import HIGH_WATER_BYTES, LOW_WATER_BYTES, Outbox, Turn
from service.transports.socket_rules import SocketRules
from service.transports.socket_state import NEXT, State
from service.transports.wheel import Alarm

log = logging.getLogger(__name__)

# Left to itself the kernel takes 2.8 MB for a sleeping reader before we see anything of it; Linux doubles this figure.
SEND_BUFFER_BYTES: Final = 64 * 1024
# A command costs 10-30 µs: some 2 ms, after which the other sockets get the loop.
FRAMES_PER_TURN: Final = 64
# Pings after the first come up to a fifth of the interval early, so that those who came together drift apart.
PING_SPREAD: Final = 0.2
# Above this a peer that pings without reading gets one pong for all its pings (RFC 6455 5.5.3 allows that).
PONG_ROOM_BYTES: Final = 4 * 1024


class SocketHandler(Protocol):
    """What a socket tells the one above it. All are plain calls from the loop; an exception closes with 1011."""

    def receive_message(self, payload: bytes, is_text: bool) -> None:
        """A whole message, in order; text is checked UTF-8. Not called once the socket closes."""

    def closing_frame(self, code: int, reason: str) -> bytes:
        """The ready frame of the `closing` event before a close that the transport begins: 1011, 1012, 4408, 4450."""

    def connection_lost(self, code: int | None) -> None:
        """The socket is gone; called exactly once, in a crowd a few loop turns later. `code`: of the close that came
        first, the peer's (1005 when its frame had none) or ours; None: there was no close frame."""


class LiveSocket(Outbox, asyncio.Protocol):
    """An accepted WebSocket. Made on its transport, given its `handler`, then `start`ed; `send` works before that."""

    __slots__ = (
        "_alarm",
        "_close_code",
        "_is_reading_held",
        "_is_silent",
        "_message_alarm",
        "_ping_waiting",
        "_reader",
        "_registry",
        "_state",
        "binary",
        "handler",
        "rules",
    )

    def __init__(self, transport: asyncio.Transport, turn: Turn, rules: SocketRules, binary: bool) -> None:
        super().__init__(transport, turn, rules.outbox_max_bytes)
        self.rules = rules
        #: Whether payloads leave in binary frames (subprotocol roomcast.v1.msgpack).
        self.binary = binary
        self.handler: SocketHandler
        self._state = State.OPEN
        self._close_code: int | None = None
        self._registry: MutableSet[Any] | None = None

        # Receiving
        self._reader = FrameReader(rules)
        self._is_reading_held = False
        self._message_alarm: Alarm | None = None

        # Heartbeat, later the close timeout: one alarm is enough
        self._alarm: Alarm | None = None
        self._is_silent = False
        self._ping_waiting: bytes | None = None

    def start(self, registry: MutableSet[Any]) -> None:
        """Take over the transport, whose protocol this is by now. `registry` holds the socket while it lives: the
        server's set, whose members get `shutdown()`."""
        self._registry = registry
        registry.add(self)
        self.transport.set_write_buffer_limits(HIGH_WATER_BYTES, LOW_WATER_BYTES)
        kernel_socket = self.transport.get_extra_info("socket")
        if kernel_socket is not None:
            kernel_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if self._state is State.OPEN:
            self._alarm = self.turn.wheel.after(self.rules.ping_interval_seconds, self._send_ping)

    @property
    def peer(self) -> Any:
        """The transport's peer address, `(host, port)`; a proxy's behind one."""
        return self.transport.get_extra_info("peername")

    # What the handler and the rooms ask for.

    def send_payload(self, payload: bytes) -> bool:
        """Frame a payload as this socket's subprotocol wants it, text or binary, and send it; False as of `send`."""
        return self.send(frame(payload, BINARY if self.binary else TEXT))

    def close(self, code: int, reason: str = "", *, closing: bytes = b"") -> None:
        """Begin the close: what waits, `closing` (ready frames, or nothing) and the close frame are written at once; no
        message is handled or sent any more. The peer has 5 s to answer. Does nothing unless the socket is open."""
        if self._state is State.OPEN:
            self._enter(State.CLOSING, code)
            counters.slow_closes += code == 4450
            self.stop_sending(closing + close_frame(code, reason))

    def abort(self) -> None:
        """Drop the connection without a close frame; `connection_lost` follows in a later loop turn."""
        self.accepts = False
        if self._state is not State.LOST:
            self.transport.abort()

    def shutdown(self) -> None:
        """The server's call when it ends: close with 1012."""
        self._close_ourselves(1012, "service restarts")

    def outbox_overflowed(self) -> None:
        """The outbox' call: a slow consumer. What it did not read is dropped, its `closing` still gets in line."""
        self._close_ourselves(4450, "slow consumer")

    def _close_ourselves(self, code: int, reason: str) -> None:
        if self._state is not State.OPEN:
            return
        try:
            closing = self.handler.closing_frame(code, reason)
        except Exception as error:
            log.error("closing_frame failed: %s", type(error).__name__)
            closing = b""
        self.close(code, reason, closing=closing)

    # What the transport calls.

    def data_received(self, data: bytes) -> None:
        """Handle a read, at most `FRAMES_PER_TURN` of it at once, and later what the tenant has no turn left for."""
        self._is_silent = False
        if self._state is State.FAILING or self._state is State.ENDING:
            return  # read on and drop: closing with unread bytes would reset the connection and lose our close frame
        self._reader.receive_data(data)
        intake = self.rules.intake
        is_late = intake.left <= 0
        intake.left -= 1 + len(data) // BYTES_OF_A_FRAME
        if is_late and not self._is_reading_held:
            self._hold_reading(True)
        elif not self._is_reading_held:
            self._read_on(FRAMES_PER_TURN)

    def eof_received(self) -> bool:
        """The peer sends no more: the transport closes itself, once it has written what it holds."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport's end: tell the handler, let go of everything."""
        self._enter(State.LOST)
        self.accepts, self._drained = False, None
        self.discard_waiting()
        if self._registry is not None:
            self._registry.discard(self)
        handler = self.handler
        del self.handler
        self.turn.departures.tell(handler, self._close_code)

    # Receiving.

    def read_slice(self) -> None:
        """Its intake's call: a turn of the tenant's has come, and this socket is the next."""
        if self._state is not State.LOST:
            self._read_on(FRAMES_PER_SLICE)

    def _read_on(self, most: int) -> None:
        reader, intake = self._reader, self.rules.intake
        frames = reader.read(most)
        intake.left -= len(frames)
        if intake.left <= 0:
            intake.end_turn()
        for opcode, payload in frames:
            if opcode <= BINARY:
                if self._state is State.OPEN:
                    try:
                        self.handler.receive_message(payload, opcode == TEXT)
                    except Exception as error:
                        log.error("receive_message failed: %s", type(error).__name__)
                        self._close_ourselves(1011, "internal error")
            elif opcode == PING:
                self._receive_ping(payload)
            elif opcode == CLOSE:
                self._receive_close(payload)
        if reader.error is not None:
            self._fail(reader.error)
        self._hold_reading(reader.has_unread)
        self._watch_message(reader.is_inside_message and not reader.has_unread)

    def _hold_reading(self, hold: bool) -> None:
        """Pause the transport while a read of many frames is handled in slices, so that no more than one waits."""
        if hold:
            self.rules.intake.wait(self)
        if hold is not self._is_reading_held and not self.transport.is_closing():
            self._is_reading_held = hold
            if hold:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def _watch_message(self, is_unfinished: bool) -> None:
        if is_unfinished:
            if self._message_alarm is None and self._state is State.OPEN:
                delay_seconds = self.rules.message_timeout_seconds
                self._message_alarm = self.turn.wheel.after(delay_seconds, self._message_timed_out)
        elif self._message_alarm is not None:
            self._message_alarm.cancel()
            self._message_alarm = None

    def _message_timed_out(self) -> None:
        self._message_alarm = None
        self._close_ourselves(4408, "message not finished in time")

    def _receive_ping(self, payload: bytes) -> None:
        if not self._is_paused and self._waiting_bytes <= PONG_ROOM_BYTES:
            self.send(frame(payload, PONG))
            return
        if self._ping_waiting is None and not self._is_paused:
            self.turn.loop.call_soon(self._answer_ping)
        self._ping_waiting = payload

    def _answer_ping(self) -> None:
        """There is room again: the latest ping gets its pong, and those before it none."""
        if self._ping_waiting is not None and not self._is_paused:
            ping, self._ping_waiting = self._ping_waiting, None
            self.send(frame(ping, PONG))

    def resume_writing(self) -> None:
        """The transport's call: it holds less than 16 KiB."""
        super().resume_writing()
        self._answer_ping()

    def _receive_close(self, payload: bytes) -> None:
        if self._state is State.OPEN:
            code = close_code(payload)
            self._enter(State.ENDING, code)
            self.stop_sending(close_frame(code))  # 5.5.1: the same code goes back
            self.transport.close()
        elif self._state is State.CLOSING:
            self._enter(State.ENDING)
            self.transport.close()

    def _fail(self, error: FrameError) -> None:
        """RFC 6455 7.1.7: say why, send FIN, and drop what still comes until the peer's FIN or the timeout."""
        if self._state is State.OPEN:
            self._enter(State.FAILING, error.code)
            self.stop_sending(close_frame(error.code, error.reason))
        elif self._state is State.CLOSING:
            self._enter(State.FAILING)
        else:
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()

    # Time.

    def _send_ping(self) -> None:
        self._is_silent = True
        # A slow reader whose rooms leave messages out has a full outbox all the time: it must not be behind that.
        self.send_ahead(frame(b"", PING))
        self._alarm = self.turn.wheel.after(self.rules.pong_timeout_seconds, self._check_pong)

    def _check_pong(self) -> None:
        rules, wheel = self.rules, self.turn.wheel
        if not self._is_silent:  # any byte since the ping is a sign of life
            early_seconds = wheel.spread(rules.ping_interval_seconds * PING_SPREAD)
            delay_seconds = rules.ping_interval_seconds - rules.pong_timeout_seconds - early_seconds
            self._alarm = wheel.after(delay_seconds, self._send_ping)
        elif wheel.is_late:  # this process stood still, the pong may lie in the kernel
            self._alarm = wheel.after(rules.pong_timeout_seconds, self._check_pong)
        else:
            self._close_ourselves(4408, "no pong")

    def _enter(self, state: State, code: int | None = None) -> None:
        """Change the state. All but OPEN end the heartbeat; all but LOST have the close timeout instead."""
        if state not in NEXT[self._state]:
            raise RuntimeError(f"socket can't go from {self._state} to {state}")
        self._state = state
        if code is not None:
            self._close_code = code
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._watch_message(False)
        if state is not State.LOST:
            self._alarm = self.turn.wheel.after(self.rules.close_timeout_seconds, self.transport.abort)
