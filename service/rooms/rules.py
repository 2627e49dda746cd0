"""What holds in a tenant's rooms: its room types under its limits, worked out once for each picture of the tenant."""

from typing import Literal

import msgspec

from service.brokers.broker import Retention
from service.rooms.schemas import RoomSchemas, make_schemas
from service.tenants.limits import ROOM_HISTORY_MESSAGES, ROOM_HISTORY_SECONDS, Limits
from service.tenants.room_types import DEFAULT, DEFAULT_NAME, RoomType, RoomTypes, SlowConsumer
from service.tenants.snapshot import TenantSnapshot

# Rooms whose rules are remembered, so that a publish to one that nobody here has joined need not try every prefix.
# A name is 200 bytes at most: 2.5 MB for a tenant that publishes to ever new rooms.
REMEMBERED_ROOMS = 10_000


class RoomRules(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What holds in a room. One object for all rooms of a type, while neither the types nor the limits change.

    retention: no messages, where the room keeps nothing and its messages have no offsets.
    max_members, max_message_bytes: the lower of the type's and the tenant's; None is no limit, as in `Limits`.
    size_scope: whose `max_message_bytes` it is; the room's, if its type's is the lower one.
    schemas: what is sent must fit them; None: nothing is checked.
    """

    type_name: str
    retention: Retention
    presence: bool
    presence_grace_seconds: float
    slow_consumer: SlowConsumer
    max_members: int | None
    messages_per_second: int | None
    max_message_bytes: int | None
    size_scope: Literal["tenant", "room"]
    schemas: RoomSchemas | None = None

    @property
    def keeps_history(self) -> bool:
        """Whether the room's messages have offsets and are kept."""
        return self.retention.messages > 0


def make_rules(type_name: str, room_type: RoomType, limits: Limits) -> RoomRules:
    """The rules of a type under its tenant's limits; a history above the tenant's maximum is cut to it."""
    messages = ROOM_HISTORY_MESSAGES if room_type.history_messages is None else room_type.history_messages
    seconds = ROOM_HISTORY_SECONDS if room_type.history_seconds is None else room_type.history_seconds
    messages = messages if seconds else 0
    max_message_bytes = _lowest(room_type.max_message_bytes, limits.max_message_bytes)
    return RoomRules(
        type_name=type_name,
        retention=Retention(
            _lower(messages, limits.max_history_messages),
            _lower(seconds, limits.max_history_seconds),
            limits.max_history_bytes,
            room_type.acknowledge == "replicated",
        ),
        presence=room_type.presence,
        presence_grace_seconds=room_type.presence_grace_seconds,
        slow_consumer=room_type.slow_consumer,
        max_members=_lowest(room_type.max_members, limits.max_members_per_room),
        messages_per_second=room_type.messages_per_second,
        max_message_bytes=max_message_bytes,
        size_scope="tenant" if max_message_bytes == limits.max_message_bytes else "room",
        schemas=make_schemas(type_name, room_type),
    )


class Rulebook:
    """The rules of a tenant's rooms by name, as one snapshot has them."""

    __slots__ = ("_by_room", "_by_type", "_contract_version", "_has_replicated", "_limits", "_types")

    def __init__(self, tenant: TenantSnapshot) -> None:
        self._types: RoomTypes = tenant.room_types
        self._contract_version = tenant.contract_version
        self._limits = tenant.limits
        every = {DEFAULT_NAME: DEFAULT, **self._types.types}
        self._by_type = {name: make_rules(name, room_type, self._limits) for name, room_type in every.items()}
        self._by_room: dict[str, RoomRules] = {}
        self._has_replicated = any(rules.retention.is_replicated for rules in self._by_type.values())

    def find(self, room: str) -> RoomRules:
        """The rules of a room; costs a look-up of its name the second time, and without types each time."""
        if not self._types.types:
            return self._by_type[DEFAULT_NAME]
        rules = self._by_room.get(room)
        if rules is None:
            rules = self._by_type[self._types.find(room)[0]]
            if len(self._by_room) >= REMEMBERED_ROOMS:
                self._by_room.clear()
            self._by_room[room] = rules
        return rules

    def is_replicated(self, room: str) -> bool:
        """Whether the room's messages are acknowledged only when all replicas have them."""
        return self._has_replicated and self.find(room).retention.is_replicated

    def fits(self, tenant: TenantSnapshot) -> bool:
        """Whether another snapshot of the tenant has the same rules."""
        # Types whose schemas differ as 1 and true do are equal to Python, but not of one version.
        is_same = tenant.contract_version == self._contract_version and tenant.room_types.types == self._types.types
        return is_same and tenant.limits == self._limits


def _lower(wanted: int, allowed: int | None) -> int:
    return wanted if allowed is None else min(wanted, allowed)


def _lowest(one: int | None, other: int | None) -> int | None:
    return other if one is None else _lower(one, other)
