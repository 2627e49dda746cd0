"""Membership of rooms: join, leave, and which rooms a node occupies."""

from collections.abc import Awaitable
from functools import partial
from typing import Any, Final

from service.brokers import envelope, scripts
from service.brokers.broker import RoomAddress, RoomHead
from service.brokers.entries import claim_keys, pack_claim, pack_join
from service.brokers.keys import TenantKeys
from service.brokers.link import Link
from service.brokers.members import NOTHING_SHOWN, Shown, Snapshot
from service.brokers.presence import Absences, absence_keys, parse_page
from service.protocol.errors import TooMany

_HEAD_PARTS: Final = 4  # of a reply to a join that does not watch


class RoomMembership:
    """Its part of `Broker`."""

    _link: Link
    _absences: Absences

    def join(
        self,
        address: RoomAddress,
        connection: str,
        user: str,
        max_members: int | None,
        shown: Shown = NOTHING_SHOWN,
    ) -> Awaitable[RoomHead]:
        """See `Members.join`."""
        packed = pack_join(scripts.JOIN, self._link, address, connection, user, max_members, shown)
        return self._link.ask_under_lease(packed, partial(_joined, address.room))

    def leave(self, address: RoomAddress, connection: str) -> Awaitable[None]:
        """See `Members.leave`."""
        return self._link.insist_on(self._pack_leave(address, connection, 0), _nothing)

    def left(self, address: RoomAddress, connection: str, grace_ms: int = 0) -> None:
        """See `Members.left`."""
        self._link.insist(self._pack_leave(address, connection, grace_ms), _nothing)
        if grace_ms:
            self._absences.note(address, grace_ms)

    def _pack_leave(self, address: RoomAddress, connection: str, grace_ms: int) -> bytes:
        room = f"{address.tenant_id}/{address.room}"
        return scripts.LEAVE.pack(absence_keys(address), connection, self._link.node, grace_ms, room)

    def claim_room(self, address: RoomAddress, max_rooms: int | None) -> Awaitable[int]:
        """See `Broker.claim_room`."""
        self._link.note_tenant(address.tenant_id)
        packed = pack_claim(scripts.CLAIM_ROOM, self._link, address.tenant_id, address.room, max_rooms)
        return self._link.ask_under_lease(packed, partial(_claimed, address.room))

    def release_room(self, address: RoomAddress) -> Awaitable[None]:
        """See `Broker.release_room`. An old lease keeps its claims: its sweep finds by them what is left of it."""
        keys = claim_keys(TenantKeys(address.tenant_id), self._link.lease)
        release = self._link.insist_on if self._link.holds_lease else self._link.ask_under_lease
        return release(scripts.RELEASE_ROOM.pack(keys, address.room), _nothing)


def _joined(room: str, reply: Any) -> RoomHead:
    if reply == 0:
        raise TooMany("max_members_per_room", "room", room=room)
    snapshot = None
    if len(reply) > _HEAD_PARTS:
        snapshot = Snapshot(int(reply[4]), reply[2], reply[3], parse_page(reply[5:]))
    return RoomHead(envelope.position(reply), reply[2], reply[3], snapshot)


def _claimed(room: str, reply: int) -> int:
    if reply == 0:
        raise TooMany("max_rooms", "tenant", room=room)
    return reply


def _nothing(_reply: object) -> None:
    """The reply says nothing that anybody wants."""
