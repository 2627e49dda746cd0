"""What the watchers of one room on this node are told of its members: changes gathered, each encoded once for all.

Changes carry a sequence: what was seen is dropped, and after a jump the list of members is not known any more, so
that watchers are told to read it again (`reset`). All of this is plain methods; `watches.py` has the clock.
"""

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import UNSET, Raw

from service.brokers.members import MemberChange, PresenceChange, RoomMember, Snapshot
from service.protocol.events import Member, Occupancy, OccupancyEvent, Presence
from service.rooms.membership import Membership

# Above the first number of members only their count is told, until it falls below the second (PROTOCOL.md).
MANY_MEMBERS = 1_000
FEW_MEMBERS = 900
# More changes than this are not gathered: the list of members is shorter.
MAX_ARRIVED = 2_000
# A sequence that lies behind by less is old news; one further back is another count, of a Redis whose clock was set.
OLD_NEWS = 10_000
# So many times a watcher that read a page of members is told apart what came before and after it: changes that the page
# shows may be under way for some tenths of a second.
FLUSHES_AFTER_A_PAGE = 3
FLUSHES_OF_A_READ = 20  # until its answer, which comes within 1.5 s

Told = tuple[Presence | OccupancyEvent, Sequence[Membership]]


class Newcomer:
    """A watcher that has not been told anything yet but, by its `joined`, how it was after change `since`.

    is_ready: its `joined` is sent. is_lost: it can't be told what changed since.
    """

    __slots__ = ("backlog", "is_lost", "is_ready", "known", "since")

    def __init__(self, snapshot: Snapshot, is_lost: bool) -> None:
        self.since = snapshot.sequence
        self.known = (snapshot.connections, snapshot.users)
        self.backlog: list[PresenceChange] = []
        self.is_ready = False
        self.is_lost = is_lost


class RoomPresence:
    """A room's members as its watchers on this node know them. There while somebody watches, or is about to.

    claims: watchers, and joins under way that will be. sequence: of the last change that was taken; 0: none is known.
    counts: connections and users, as of then. is_large: only the counts are told. is_planned: `flush` will be called.
    """

    __slots__ = (
        "_arrived", "_expected", "_is_doubtful", "_is_lost", "_known", "_newcomers", "_readers", "claims", "counts",
        "is_large", "is_planned", "sequence", "watchers",
    )  # fmt: skip

    def __init__(self) -> None:
        self.claims = 0
        self.watchers: dict[Membership, None] = {}
        self.sequence = 0
        self.counts = (0, 0)
        self.is_large = False
        self.is_planned = False
        self._newcomers: dict[Membership, Newcomer] = {}
        self._readers: dict[Membership, int] = {}  # by how many events are still told apart
        self._arrived: list[PresenceChange] = []
        self._known = (0, 0)  # the counts that watchers know
        self._is_lost = False  # what they know is not how it was before `_arrived`
        self._is_doubtful = False
        self._expected = 0

    # Watchers

    def enter(self, member: Membership, snapshot: Snapshot) -> None:
        """A connection watches from now on; it is told nothing before `greet`."""
        counts = (snapshot.connections, snapshot.users)
        is_lost = False
        if self.sequence == 0:
            self.sequence, self.counts, self._known = snapshot.sequence, counts, counts
            self.is_large = snapshot.connections > MANY_MEMBERS
        else:
            first = self._arrived[0].sequence if self._arrived else self.sequence + 1
            is_lost = snapshot.sequence + 1 < first
        self._newcomers[member] = Newcomer(snapshot, is_lost)

    def greet(self, member: Membership) -> bool:
        """The member's `joined` is sent; True if there may be something to tell it already."""
        newcomer = self._newcomers.get(member)
        if newcomer is None:
            return False
        newcomer.is_ready = True
        return bool(newcomer.backlog or self._arrived) or newcomer.is_lost

    def remove(self, member: Membership) -> bool:
        """A connection watches no more; False if it did not."""
        was_new = self._newcomers.pop(member, None) is not None
        was_told = member in self.watchers
        self.watchers.pop(member, None)
        self._readers.pop(member, None)
        return was_new or was_told

    def read(self, member: Membership, flushes: int) -> None:
        """A watcher reads a page of members, or has read one: it may show somebody who comes and goes within one time
        of gathering, whose end the watcher must be told then.
        """
        if member in self:
            self._readers[member] = flushes

    def __contains__(self, member: Membership) -> bool:
        return member in self.watchers or member in self._newcomers

    # What the broker tells

    def take(self, change: PresenceChange) -> bool:
        """Take a change; True if watchers are to be told soon."""
        behind = self.sequence - change.sequence
        if self.sequence and 0 <= behind < OLD_NEWS:
            return False
        if self.sequence and behind != -1:
            self.lose()
        self._is_doubtful = False  # the sequence says what is lost
        self.sequence = change.sequence
        self._count(change.connections, change.users)
        if not self.is_large:
            self._arrived.append(change)
            if len(self._arrived) > MAX_ARRIVED:
                self.lose()
        return True

    def doubt(self) -> None:
        """Changes may have been missed: the next look at the room says so."""
        self._is_doubtful = True

    def look(self, snapshot: Snapshot) -> bool:
        """How the room stands in Redis. What is not here by the second look at it is lost; in doubt, at once."""
        ahead = snapshot.sequence - self.sequence
        is_lost = ahead > 0 and (self._is_doubtful or self.sequence < self._expected)
        if is_lost or abs(ahead) >= OLD_NEWS:
            self.sequence = snapshot.sequence
            self._count(snapshot.connections, snapshot.users)
            self.lose()
        self._is_doubtful = False
        self._expected = snapshot.sequence
        return self._is_lost

    def lose(self) -> None:
        """Changes were lost: whoever watches reads the list again."""
        self._is_lost = True
        self._arrived.clear()
        for newcomer in self._newcomers.values():
            newcomer.is_lost = True
            newcomer.backlog.clear()

    def _count(self, connections: int, users: int) -> None:
        self.counts = (connections, users)
        was_large = self.is_large
        self.is_large = connections >= FEW_MEMBERS if was_large else connections > MANY_MEMBERS
        if was_large is not self.is_large:
            self.lose()

    # Telling

    def flush(self, room: str) -> list[Told]:
        """What was gathered, as events, each with those that get it; most often one event for all."""
        arrived, self._arrived = self._arrived, []
        parts = apart(arrived) if self._readers and not self._is_lost else []
        readers = [member for member in self._readers if member in self.watchers] if len(parts) > 1 else []
        others = [member for member in self.watchers if not readers or member not in self._readers]
        told = [(self._event(room, arrived, self._is_lost, self._known), others)]
        told += [(self._event(room, part, False, self._known), readers) for part in parts]
        self._readers = {member: left - 1 for member, left in self._readers.items() if left > 1}
        self._is_lost = False
        self._known = self.counts
        for member, newcomer in list(self._newcomers.items()):
            if not newcomer.is_lost:
                newcomer.backlog += [change for change in arrived if change.sequence > newcomer.since]
            if newcomer.is_ready and self.sequence >= newcomer.since:
                del self._newcomers[member]
                self.watchers[member] = None
                told.append((self._event(room, newcomer.backlog, newcomer.is_lost, newcomer.known), [member]))
        return [(event, members) for event, members in told if event is not None and members]

    def _event(
        self, room: str, arrived: Sequence[PresenceChange], is_lost: bool, known: tuple[int, int]
    ) -> Presence | OccupancyEvent | None:
        connections, users = self.counts
        if self.is_large:
            is_news = known != self.counts
            return OccupancyEvent(room=room, connections=connections, users=users) if is_news else None
        occupancy = Occupancy(connections=connections, users=users)
        if is_lost:
            return Presence(room=room, joined=[], changed=[], left=[], occupancy=occupancy, reset=True)
        joined, changed, left = net(change for each in arrived for change in each.changes)
        if not (joined or changed or left) and known == self.counts:
            return None
        return Presence(room=room, joined=joined, changed=changed, left=left, occupancy=occupancy)


def apart(arrived: Sequence[PresenceChange]) -> list[list[PresenceChange]]:
    """Changes in parts in which nobody is named twice, so that none of them hides another."""
    parts: list[list[PresenceChange]] = [[]]
    seen: set[str] = set()
    for change in arrived:
        names = {name for each in change.changes for name in (each.member.connection, each.was)} - {""}
        if names & seen:
            parts.append([])
            seen = set()
        parts[-1].append(change)
        seen |= names
    return parts


def net(changes: Iterable[MemberChange]) -> tuple[list[Member], list[Member], list[Member]]:
    """Who joined, changed and left, all in all: who came and went again is in none of them, and nobody is in two."""
    joined: dict[str, RoomMember] = {}
    changed: dict[str, tuple[RoomMember, str]] = {}
    left: dict[str, RoomMember] = {}
    for change in changes:
        member, connection = change.member, change.member.connection
        if change.kind == "left":
            if joined.pop(connection, None) is None:
                _, was = changed.pop(connection, (member, ""))
                name = was or connection
                left[name] = msgspec.structs.replace(member, connection=name)
        elif change.kind == "joined":
            if left.pop(connection, None) is None:
                joined[connection] = member
            else:
                changed[connection] = (member, "")
        elif joined.pop(change.was or connection, None) is not None:
            joined[connection] = member
        else:
            _, was = changed.pop(change.was or connection, (member, ""))
            changed[connection] = (member, was or change.was)
    return (
        [shown_member(member) for member in joined.values()],
        [shown_member(member, was) for member, was in changed.values()],
        [shown_member(member) for member in left.values()],
    )


def shown_member(member: RoomMember, was: str = "") -> Member:
    """A member as clients see it; was: the connection whose place it took."""
    return Member(
        user=member.user,
        connection=member.connection,
        info=Raw(member.info) if member.info else UNSET,
        state=Raw(member.state) if member.state else UNSET,
        joined_at_ms=member.joined_at_ms,
        was=was or UNSET,
    )
