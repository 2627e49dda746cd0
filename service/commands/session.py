"""Who speaks: one connection with its tenant's manager, its grant and its budget. All that a handler can reach."""

import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import structlog
from msgspec import UNSET, UnsetType

from service.brokers.broker import ConnectionEntry
from service.protocol.codec import error_event, event_frame
from service.protocol.errors import BAD_COMMAND_CODES, CloseCode, Internal, RoomcastError
from service.protocol.events import Expiring, Left, Reply
from service.protocol.identifiers import CommandId
from service.rooms.answers import Answer
from service.rooms.connection import Connection
from service.rooms.connection_manager import ConnectionManager
from service.rooms.fanout import Subscriber
from service.rooms.outgoing import Author, author
from service.telemetry import count_refusal, counters, new_incident
from service.tenants.claims import Grant
from service.tenants.limits import Limits, TokenBucket
from service.tenants.tokens import is_revoked

log = structlog.get_logger()

# PROTOCOL.md: a bad command never costs the connection, up to 100 in 10 s.
BAD_COMMANDS_ALLOWED = 100
BAD_COMMANDS_SECONDS = 10.0
# A connection may send twice its rate at once (PROTOCOL.md, "Limits in force").
COMMAND_BURST_SECONDS = 2
# How long before its token ends a client is told.
EXPIRING_SECONDS = 60
# A socket that ends so is lost, and its user may be back soon; any other close was meant (PROTOCOL.md, "Presence").
GRACEFUL = (None, CloseCode.GOING_AWAY, CloseCode.RESTART, CloseCode.NO_PONG)


class Alarm(Protocol):
    """A callback that waits for its time."""

    def cancel(self) -> None:
        """Do not call."""


class Clockwork(Protocol):
    """The node's timers (`transports/wheel.py`)."""

    def after(self, delay_seconds: float, callback: Callable[[], None]) -> Alarm:
        """Call back once, `delay_seconds` from now, at most a second late."""


class Session(Connection):
    """One connection that speaks: what its token allows, and how much it may say."""

    __slots__ = (
        "_alarm",
        "_author",
        "_bad_commands",
        "_bad_since",
        "_clockwork",
        "bucket",
        "grant",
        "manager",
        "reference",
    )

    def __init__(
        self,
        subscriber: Subscriber,
        manager: ConnectionManager,
        grant: Grant,
        entry: ConnectionEntry,
        clockwork: Clockwork,
        max_held_bytes: int,
    ) -> None:
        super().__init__(subscriber, entry, max_held_bytes)
        self.manager = manager
        subscriber.usage = manager.usage
        self.grant = grant
        self.bucket = command_bucket(manager.tenant.limits)
        # Publishes with an id are told apart by this when their messages come around.
        self.reference = 0
        self._author: Author | None = None
        self._bad_commands = 0
        self._bad_since = 0.0
        self._clockwork = clockwork
        self._alarm: Alarm | None = None

    @property
    def kid(self) -> str:
        """The signing key of the token in force."""
        return self.grant.kid

    @property
    def info(self) -> bytes:
        """What the token in force shows of the user."""
        return self.grant.info or b""

    @property
    def author(self) -> Author:
        """How others see it; made when it first speaks."""
        if self._author is None:
            self._author = author(self.user, self.id)
        return self._author

    # Answers

    def send_event(self, event: Any) -> None:
        """Send one event now."""
        self.subscriber.send(event_frame(event, self.subscriber.binary))

    def reply_frame(self, command_id: CommandId | UnsetType, reply: Reply) -> bytes:
        """The reply to a command as a ready frame; empty without an id."""
        if command_id is UNSET:
            return b""
        reply.id = command_id
        return event_frame(reply, self.subscriber.binary)

    def error_frame(self, error: RoomcastError, command_id: CommandId | UnsetType, room: str | None = None) -> bytes:
        """A refusal as a ready frame, counted."""
        count_refusal(error.code)
        self.manager.usage.refuse(error.code)
        if error.room is None:
            error.room = room
        return event_frame(error_event(error, command_id), self.subscriber.binary)

    def internal_error(self, error: BaseException) -> RoomcastError:
        """What is told of a bug: only its incident, under which the log has the rest."""
        incident = new_incident()
        counters.faults += 1
        log.error(
            "command failed", incident=incident, connection=self.id, tenant=self.manager.tenant.name, exc_info=error
        )
        return Internal(incident)

    async def finish(
        self,
        answer: Answer,
        command_id: CommandId | UnsetType,
        room: str | None,
        work: Coroutine[Any, Any, Reply | None],
    ) -> None:
        """Run a command that waits for Redis, and give its answer. `None`: it has given it by itself."""
        try:
            reply = await work
        except RoomcastError as error:
            answer.give(self.error_frame(error, command_id, room))
        except Exception as error:
            answer.give(self.error_frame(self.internal_error(error), command_id, room))
        else:
            if reply is not None:
                answer.give(self.reply_frame(command_id, reply))

    def count_bad_command(self, error: RoomcastError) -> None:
        """A frame that was no command; the 101st within 10 s ends the connection."""
        if error.code not in BAD_COMMAND_CODES:
            return
        now = time.monotonic()
        if now - self._bad_since > BAD_COMMANDS_SECONDS:
            self._bad_since, self._bad_commands = now, 0
        self._bad_commands += 1
        if self._bad_commands > BAD_COMMANDS_ALLOWED:
            self.close(CloseCode.FLOOD, "too many bad commands")

    # The token's end

    def take_grant(self, grant: Grant) -> None:
        """A token is in force: `expiring` 60 s before its end, at once if less is left, then 4401."""
        key_use = self.manager.key_use
        key_use.note_signing_key(grant.kid, time.time_ns() // 1_000_000)
        if grant.kid != self.grant.kid and self.id in self.manager.connections:
            key_use.disconnected(self.grant.kid)
            key_use.connected(grant.kid)
        before, self.grant = self.info, grant
        if self.info != before:
            self.manager.show_info(self)
        self._stop_alarm()
        left_seconds = self.seconds_left()
        if left_seconds > EXPIRING_SECONDS:
            self._alarm = self._clockwork.after(left_seconds - EXPIRING_SECONDS, self._tell_expiry)
        else:
            self._tell_expiry()

    def leave_forbidden_rooms(self) -> None:
        """Out of every room that the token in force does not allow to join; an end to watching where it may not."""
        for room in [name for name in self.rooms if not self.grant.allows(name, "join")]:
            self.send_event(Left(room=room, reason="rights"))
            self.manager.expel(self, room)
        for member in self.rooms.values():
            if not self.grant.allows(member.room.name, "presence"):
                self.manager.rooms.watches.end(member)

    def seconds_left(self) -> float:
        """Until the token ends."""
        return self.grant.expires_at_ms / 1000 - time.time()

    def _tell_expiry(self) -> None:
        left_seconds = max(0.0, self.seconds_left())
        self.send_event(Expiring(in_seconds=round(left_seconds)))
        self._alarm = self._clockwork.after(left_seconds, self._expire)

    def _expire(self) -> None:
        self.close(CloseCode.UNAUTHENTICATED, "the token has expired")

    def _stop_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    # The tenant's settings

    def tenant_changed(self) -> None:
        """New limits are in force; a revoked key, user or token ends its sockets, the tenant's end all of them."""
        tenant = self.manager.tenant
        if not tenant.active:
            self.close(CloseCode.FORBIDDEN, "the tenant is suspended or deleted")
            return
        if self.grant.kid not in tenant.signing_keys:
            self.close(CloseCode.UNAUTHENTICATED, "the token's signing key is revoked")
            return
        if is_revoked(tenant, self.grant, time.time_ns() // 1_000_000):
            self.close(CloseCode.UNAUTHENTICATED, "the token is revoked")
            return
        rate = tenant.limits.commands_per_second
        self.bucket.reconfigure(rate, command_burst(rate))
        most = tenant.limits.max_rooms_per_connection
        for room in list(self.rooms)[most:] if most is not None else ():
            self.send_event(Left(room=room, reason="limit"))
            self.manager.expel(self, room)

    # The socket's end (transports.SocketHandler)

    def connection_lost(self, code: int | None) -> None:
        """The socket is gone."""
        self._stop_alarm()
        counters.connections_closed += 1
        log.debug("disconnected", connection=self.id, tenant=self.manager.tenant.name, code=code)
        self.manager.disconnect(self, has_grace=code in GRACEFUL)


def command_bucket(limits: Limits) -> TokenBucket:
    """The bucket of one connection's commands."""
    rate = limits.commands_per_second
    return TokenBucket(rate, command_burst(rate), time.monotonic())


def command_burst(rate_per_second: int | None) -> int:
    """How many commands a connection may send at once; 0 where there is no limit."""
    return 0 if rate_per_second is None else rate_per_second * COMMAND_BURST_SECONDS
