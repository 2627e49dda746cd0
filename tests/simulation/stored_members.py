"""A room's members as Redis holds them: join.lua, leave.lua, change_member.lua, sweep_members.lua, end_absence.lua."""

from collections.abc import Callable
from typing import NamedTuple

from service.brokers.broker import RoomReceiver
from service.brokers.members import MemberChange, MemberPage, PresenceChange, RoomMember, Shown, Snapshot

Tell = Callable[[RoomReceiver], None]


class There(NamedTuple):
    """One member and the lease that it is under; ends_at: of its grace, if it is absent."""

    lease: str
    member: RoomMember
    ends_at: float = 0.0


class StoredMembers:
    """Members that are there, absent ones, and the leases of nodes that watch."""

    def __init__(self, time: Callable[[], float], tell: Callable[[Tell], None]) -> None:
        self._time = time
        self._tell_nodes = tell
        self.there: dict[str, There] = {}
        self.absent: dict[str, There] = {}
        self._watchers: set[str] = set()
        self._sequence = 0

    @property
    def count(self) -> int:
        """Connections that are there."""
        return len(self.there)

    @property
    def users(self) -> int:
        """Users that are there."""
        return len({each.member.user for each in self.there.values()})

    def join(self, connection: str, lease: str, user: str, shown: Shown) -> Snapshot | None:
        """join.lua; the snapshot if it watches."""
        before = self.there.get(connection)
        if shown.watches:
            self.watch(lease)
        kind, was, joined_at_ms = "joined", "", int(self._time() * 1_000)
        if before is not None:
            joined_at_ms = before.member.joined_at_ms
            is_changed = (before.member.info, before.member.state) != (shown.info, shown.state)
            kind = "changed" if is_changed else ""
        else:
            place = next((name for name, each in self.absent.items() if each.member.user == user), None)
            if place is not None:
                kind, was, joined_at_ms = "changed", place, self.absent.pop(place).member.joined_at_ms
        member = RoomMember(connection, user, joined_at_ms, shown.info, shown.state)
        self.there[connection] = There(lease, member)
        if kind:
            self._tell([MemberChange(kind, member, was)])  # type: ignore[arg-type]
        if not shown.watches:
            return None
        return Snapshot(self._sequence, self.count, self.users, self._page("", 100)[0])

    def leave(self, connection: str, node: str, grace_ms: int) -> None:
        """leave.lua."""
        there = self.there.get(connection)
        if there is None or there.lease.rpartition(".")[0] != node:
            return
        del self.there[connection]
        if grace_ms:
            self.absent[connection] = there._replace(ends_at=self._time() + grace_ms / 1_000)
            self._tell([])
        else:
            self._tell([MemberChange("left", there.member)])

    def change(self, connection: str, lease: str, **values: bytes) -> bool:
        """change_member.lua."""
        there = self.there.get(connection)
        if there is None or there.lease != lease:
            return False
        before = there.member
        info, state = values.get("info", before.info), values.get("state", before.state)
        changed = RoomMember(connection, before.user, before.joined_at_ms, info, state)
        if changed != before:
            self.there[connection] = There(lease, changed)
            self._tell([MemberChange("changed", changed)])
        return True

    def sweep(self, lease: str) -> None:
        """sweep_members.lua."""
        self.unwatch(lease)
        gone = [each for each in self.there.values() if each.lease == lease]
        for each in gone:
            del self.there[each.member.connection]
        if gone:
            self._tell([MemberChange("left", each.member) for each in gone])

    def end_absences(self, user: str = "") -> None:
        """end_absence.lua."""
        now = self._time()
        over = [
            name for name, each in self.absent.items() if (each.member.user == user if user else each.ends_at <= now)
        ]
        if over:
            self._tell([MemberChange("left", self.absent.pop(name).member) for name in over])

    def watch(self, lease: str) -> Snapshot:
        """watch.lua."""
        if not self._watchers:
            self._sequence = 1_000_000 + int(self._time() * 1_000_000)
        self._watchers.add(lease)
        return Snapshot(self._sequence, self.count, self.users)

    def unwatch(self, lease: str) -> None:
        """unwatch.lua."""
        self._watchers.discard(lease)

    def page(self, after: str, limit: int) -> MemberPage:
        """list_members.lua, without its bound in bytes."""
        members, more = self._page(after, limit)
        return MemberPage(members, more, self.count, self.users)

    def _page(self, after: str, limit: int) -> tuple[list[RoomMember], bool]:
        names = sorted(name for name in {*self.there, *self.absent} if name > after)
        everyone = self.absent | self.there
        return [everyone[name].member for name in names[:limit]], len(names) > limit

    def _tell(self, changes: list[MemberChange]) -> None:
        if self._watchers:
            self._sequence += 1
            change = PresenceChange(self._sequence, self.count, self.users, changes)
            self._tell_nodes(lambda receiver: receiver.receive_presence(change))
