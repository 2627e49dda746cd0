"""A watched room for tests: what happens in it, and what its watchers make of what they are told."""

from service.brokers.members import MemberChange, PresenceChange, RoomMember, Snapshot
from service.protocol.events import OccupancyEvent, Presence
from service.rooms.membership import Membership
from service.rooms.presence import RoomPresence, Told
from tests.rooms.surroundings import Surroundings


def member(connection: str, state: int = 0) -> RoomMember:
    return RoomMember(connection, f"user of {connection}", 1_000, b"", b"%d" % state)


def joined(connection: str, state: int = 0) -> MemberChange:
    return MemberChange("joined", member(connection, state))


def changed(connection: str, state: int = 0, was: str = "") -> MemberChange:
    return MemberChange("changed", member(connection, state), was)


def left(connection: str) -> MemberChange:
    return MemberChange("left", member(connection))


class Watched:
    """A watched room, its members as Redis would have them, and what its watchers made of what they were told."""

    def __init__(self) -> None:
        self.presence = RoomPresence()
        self.around = Surroundings()
        self.sequence = 1_000_000
        self.there: set[str] = set()
        self.known: dict[Membership, set[str]] = {}
        self.events = 0

    def snapshot(self) -> Snapshot:
        members = [member(each) for each in sorted(self.there)]
        return Snapshot(self.sequence, len(self.there), len(self.there), members)

    def change(self, *changes: MemberChange, is_lost: bool = False, connections: int | None = None) -> PresenceChange:
        self.sequence += 1
        for each in changes:
            if each.was:
                self.there.remove(each.was)
            if each.kind == "left":
                self.there.remove(each.member.connection)
            else:
                self.there.add(each.member.connection)
        count = len(self.there) if connections is None else connections
        change = PresenceChange(self.sequence, count, count, changes)
        if not is_lost:
            self.presence.take(change)
        return change

    def watch(self, name: str, *, greets: bool = True) -> Membership:
        self.around.join(name)
        membership = self.around.member(name)
        snapshot = self.snapshot()
        self.presence.enter(membership, snapshot)
        self.known[membership] = {each.connection for each in snapshot.members}
        if greets:
            self.presence.greet(membership)
        return membership

    def flush(self) -> list[Told]:
        told = self.presence.flush("chat")
        for event, members in told:
            self.events += 1
            for each in members:
                self._apply(self.known[each], event)
        return told

    def _apply(self, known: set[str], event: Presence | OccupancyEvent) -> None:
        if not isinstance(event, Presence):
            return
        if event.reset is True:
            known.clear()
            known |= self.there  # pages `members`
        for each in event.left:
            known.remove(each.connection)
        for each in event.changed:
            was = each.was if isinstance(each.was, str) else each.connection
            known.remove(was)
            known.add(each.connection)
        for each in event.joined:
            assert each.connection not in known
            known.add(each.connection)
