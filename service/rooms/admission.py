"""Whether what is sent may go: its size, its room's rate, its tenant's budgets."""

import time
from typing import Final

from service.protocol.errors import RateLimited, SchemaMismatch, TooLarge
from service.rooms.budgets import Budgets
from service.rooms.outgoing import OutgoingMessage
from service.rooms.room_rates import RoomRate, RoomRates
from service.rooms.rules import RoomRules
from service.rooms.schemas import Kind, RoomSchemas
from service.rooms.usage import Usage

# At the default rate of publishes, checks of a tenant then take an eighth of one core at most.
SLOW_CHECK_SECONDS: Final = 0.000_125


def admit(
    message: OutgoingMessage, room: str, members: int, rules: RoomRules, rates: RoomRates, budgets: Budgets
) -> RoomRate | None:
    """Let a message or signal into a room of so many members; the rate under which it went, if the rules set one.

    Raises TooLarge, and RateLimited: then nothing of the room's and the tenant's budgets is used.
    """
    check_fits(message, room, rules)
    per_second = rules.messages_per_second
    if per_second is None:
        budgets.take_publish(members, room, message.author.user)
        return None
    rate = rates.take(room, per_second)
    try:
        budgets.take_publish(members, room, message.author.user)
    except RateLimited:
        rate.take_back()
        raise
    return rate


def check_fits(message: OutgoingMessage, room: str, rules: RoomRules) -> None:
    """A message or signal is of a size for its room. Raises TooLarge (`max_message_bytes`)."""
    most = rules.max_message_bytes
    if most is not None and len(message.data) > most:
        raise TooLarge("max_message_bytes", most, scope=rules.size_scope, path="$.data", room=room)


def check_value(
    schemas: RoomSchemas, kind: Kind, name: str | None, value: bytes, room: str, budgets: Budgets, usage: Usage
) -> bytes:
    """What a client sends, held against its room type's schemas; how it goes on.

    One that takes long counts as more publishes, so that a tenant's schemas can't take the node's time from others.
    Raises SchemaMismatch, which is counted, and TooLarge.
    """
    started = time.perf_counter()
    try:
        return schemas.check(kind, name, value, room)
    except SchemaMismatch:
        usage.refuse_by_schema(schemas.key(kind, name))
        raise
    finally:
        seconds = time.perf_counter() - started
        if seconds > SLOW_CHECK_SECONDS:
            budgets.charge_publishes(int(seconds / SLOW_CHECK_SECONDS))


def check_size(data: bytes, max_bytes: int | None) -> None:
    """What is sent to a user is of a size. Raises TooLarge (`max_message_bytes`); None: no limit."""
    if max_bytes is not None and len(data) > max_bytes:
        raise TooLarge("max_message_bytes", max_bytes, path="$.data")
