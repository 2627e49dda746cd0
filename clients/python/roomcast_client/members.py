"""Who is in a room, as `joined`, `presence` and pages of `members` tell it: docs/PROTOCOL.md, "Presence". Pure."""

from collections.abc import Iterator, Mapping
from typing import Generic

from msgspec import UNSET

from roomcast_client.contract import StateT
from roomcast_client.events import Joined, Member, MembersEvent, Occupancy, OccupancyEvent, Presence


class MemberList(Mapping[str, Member[StateT]], Generic[StateT]):
    """Members by connection, of a room that is watched.

    is_complete: False while pages are still read, and in rooms so large that only `occupancy` is told.
    """

    def __init__(self) -> None:
        self._by_connection: dict[str, Member[StateT]] = {}
        self._told: set[str] = set()  # of whom events spoke since the list began anew: they stand before pages
        #: Which list it is: a page of an earlier one does not count.
        self.generation = 0
        self.occupancy = Occupancy(connections=0, users=0)
        self.is_complete = False

    def __getitem__(self, connection: str) -> Member[StateT]:
        return self._by_connection[connection]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_connection)

    def __len__(self) -> int:
        return len(self._by_connection)

    def joined(self, event: Joined[StateT]) -> bool:
        """The list of a join; whether pages have to be read."""
        self._begin()
        self.occupancy = event.occupancy
        if event.members is UNSET:
            return False
        self._by_connection = {member.connection: member for member in event.members}
        self.is_complete = len(self._by_connection) >= event.occupancy.connections
        return not self.is_complete

    def presence(self, event: Presence[StateT]) -> bool:
        """What changed; whether pages have to be read."""
        if event.reset is True:
            self._begin()
        self.occupancy = event.occupancy
        for member in event.left:
            self._remove(member.connection)
        for member in (*event.joined, *event.changed):
            if isinstance(member.was, str):
                self._remove(member.was)
            self._told.add(member.connection)
            self._by_connection[member.connection] = member
        return event.reset is True

    def occupied(self, event: OccupancyEvent) -> None:
        """The room is too large for a list."""
        self._begin()
        self.occupancy = Occupancy(connections=event.connections, users=event.users)

    def page(self, event: MembersEvent[StateT]) -> None:
        """A page of the list that is being read."""
        for member in event.members:
            if member.connection not in self._told:
                self._by_connection[member.connection] = member
        self.is_complete = event.next_cursor is UNSET

    def _begin(self) -> None:
        self._by_connection = {}
        self._told = set()
        self.generation += 1
        self.is_complete = False

    def _remove(self, connection: str) -> None:
        self._told.add(connection)
        self._by_connection.pop(connection, None)
