"""Whether what is sent may go: its size, its room's rate, its tenant's budgets."""

from service.protocol.errors import RateLimited, TooLarge
from service.rooms.budgets import Budgets
from service.rooms.outgoing import OutgoingMessage
from service.rooms.room_rates import RoomRate, RoomRates
from service.rooms.rules import RoomRules


def admit(
    message: OutgoingMessage, room: str, members: int, rules: RoomRules, rates: RoomRates, budgets: Budgets
) -> RoomRate | None:
    """Let a message or signal into a room of so many members; the rate under which it went, if the rules set one.

    Raises TooLarge, and RateLimited: then nothing of the room's and the tenant's budgets is used.
    """
    most = rules.max_message_bytes
    if most is not None and len(message.data) > most:
        raise TooLarge("max_message_bytes", most, scope=rules.size_scope, path="$.data", room=room)
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


def check_size(data: bytes, max_bytes: int | None) -> None:
    """What is sent to a user is of a size. Raises TooLarge (`max_message_bytes`); None: no limit."""
    if max_bytes is not None and len(data) > max_bytes:
        raise TooLarge("max_message_bytes", max_bytes, path="$.data")
