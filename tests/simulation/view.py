"""What one client knows of one room, and whether what it is told can be true: the law of PROTOCOL.md, "Order"."""

from collections.abc import Callable
from typing import Any

from tests.simulation.store import Store

Place = tuple[str, int]
NOWHERE: Place = ("", 0)  # of no epoch: one who heard nothing yet can't tell what a gap went over


class View:
    """One client's picture of one room, over all its connections.

    at: the place of the last thing that it got, if it knows; in a room without history, what the witness knows of it.
    since: what a client gives when it comes back: the position of the last thing that had one. must_reach: a recovery
    promised everything up to here. passed: answers that a gap may have passed come late, up to this offset. told: one's
    own messages that were answered while it was in doubt whether one is in the room: they move no position.
    """

    def __init__(self, room: str, is_kept: bool, store: Store, complain: Callable[[str], None]) -> None:
        self.room = room
        self.is_kept = is_kept
        self._store = store
        self._complain = complain
        self.is_joined = self.is_doubtful = False
        self.connection = ""
        self.at: Place | None = None
        self.since: str | None = None
        self._must_reach: Place | None = None
        self._joined_at: Place | None = None
        self._passed: list[Place] = []
        self._told: set[Place] = set()
        self._owed_gap = ""
        self._echoed: Place | None = None

    def joined(self, connection: str, event: dict[str, Any], since: str | None) -> None:
        """A join was answered."""
        self.connection, self.is_joined, self.is_doubtful = connection, True, False
        self._must_reach, self._passed, self._told, self._echoed = None, [], set(), None
        recovered, position = event.get("recovered"), event["position"]
        if (recovered is None) != (since is None):
            self._complain(f"{event} answers a join with since {since}")
        if (position is None) is self.is_kept:
            self._complain(f"{event} has a position, or none")
        self.at = self._joined_at = None if position is None else place_of(position)
        if self.at is not None and not self._is_known(self.at):
            self._complain(f"{event} tells of a place that never was")
        if recovered and since is not None and self.at is not None:
            self._must_reach = self.at
            self.at = place_of(since)
            if self.at[0] != self._joined_at[0] or self.at[1] > self._joined_at[1]:  # type: ignore[index]
                self._complain(f"{event} claims to recover from {since}")
        elif recovered is False:
            self._owed_gap = since or ""
        self.since = position if recovered is not True else since

    def left(self) -> None:
        """The client is out of the room."""
        self.is_joined = self.is_doubtful = False

    def doubt(self) -> None:
        """A join was refused: whether an earlier one still holds is not known until the next."""
        self.is_doubtful = True

    def message(self, event: dict[str, Any]) -> None:
        """A message came."""
        number = event["data"]
        if self._owed_gap:
            self._complain(f"{event} came before the gap that `recovered` false announced")
        place = self._place(number, event.get("offset"))
        if place is None or not self.is_joined:
            self._complain(f"{event} came to one who is not in the room, or has another place")
            return
        written = self._store.places[(self.room, *place)]
        if self.connection in written.origin.exclude:
            self._complain(f"{event} is not for {self.connection}")
        elif self._is_unheard(place) and self._joined_at is not None and place[1] > self._joined_at[1]:
            self._complain(f"{event} is one's own, and came back")
        self._move(place, event)
        self._echoed = place if written.origin.connection == self.connection and written.origin.echo else None

    def published(self, number: int, event: dict[str, Any]) -> None:
        """A publish was answered: its message is known, and stands here if it is no duplicate."""
        position = event["position"]
        if (position is None) is self.is_kept:
            self._complain(f"{event} has a position, or none")
        place = self._place(number, None) if position is None else place_of(position)
        written = None if place is None else self._store.places.get((self.room, *place))
        if place is None or written is None or written.number != number:
            self._complain(f"{event}: message {number} is not there")
            return
        if not self.is_joined or event["duplicate"] or (self.at is None and not self.is_kept):
            return
        if self.is_doubtful:
            self._told.add(place)
        elif place == self.at and place == self._echoed:
            self._echoed = None
        elif not self._was_passed(place):
            self._move(place, event)

    def gap(self, event: dict[str, Any]) -> None:
        """Loss was told."""
        lost_from, lost_to, reason = event["from"], event["to"], event["reason"]
        if not self.is_joined:
            self._complain(f"{event} came to one who is not in the room")
        if self._owed_gap:
            if lost_from != self._owed_gap:
                self._complain(f"{event} was to begin at {self._owed_gap}")
        elif self._must_reach is not None and not self._reaches(self._must_reach) and self._is_before(self._must_reach):
            self._complain(f"{event} came at {self.at}, in a recovery that promised all up to {self._must_reach}")
        elif not self._may_lose(lost_from, lost_to):
            self._complain(f"{event} came at {self.at}")
        if lost_from is not None and reason in ("expired", "limit") and self._is_there(place_of(lost_from)):
            self._complain(f"{event}: nothing behind its beginning is gone")
        self._owed_gap = ""
        self._passed.append(self.at or NOWHERE)
        self.at = None if lost_to is None else place_of(lost_to)
        self.since = lost_to or self.since
        if self.at is not None:
            self._passed.append(self.at)
            if not self._is_known(self.at):
                self._complain(f"{event} tells of a place that never was")

    def check_end(self) -> None:
        """All is quiet: whoever is in the room has all that there is."""
        room = self._store.rooms.get(self.room)
        if not self.is_joined or room is None or (self.at is None and not self.is_kept):
            return
        if not self._reaches((room.epoch, room.offset)):
            self._complain(f"stands in {self.room} at {self.at}, the head is {room.epoch}:{room.offset}")

    def _move(self, place: Place, event: dict[str, Any]) -> None:
        if self.at is not None and (place == self.at or not self._reaches((place[0], place[1] - 1))):
            self._complain(f"{event} came at {self.at}")
        self.at = place
        if self.is_kept:
            self.since = f"{place[0]}:{place[1]}"

    def _reaches(self, place: Place) -> bool:
        """Whether nothing that this client was to get lies between here and there."""
        at = self.at
        if at is None:
            return True
        if at[0] != place[0] or at[1] > place[1]:
            return False
        between = range(at[1] + 1, place[1] + 1)
        return all((at[0], offset) in self._told or self._is_unheard((at[0], offset)) for offset in between)

    def _is_before(self, place: Place) -> bool:
        return self.at is not None and self.at[0] == place[0] and self.at[1] < place[1]

    def _is_unheard(self, place: Place) -> bool:
        """Whether a message never shows to this connection: it is excluded, or sent it without id and echo."""
        written = self._store.places.get((self.room, *place))
        if written is None:
            return False
        origin = written.origin
        is_own = origin.connection == self.connection and not origin.reference and not origin.echo
        return is_own or self.connection in origin.exclude

    def _may_lose(self, lost_from: str | None, lost_to: str | None) -> bool:
        """Whether a gap leaves nothing out that this client has not got, and goes on behind what it has."""
        if lost_from is None or lost_to is None or self.at is None:
            return True
        begin, end = place_of(lost_from), place_of(lost_to)
        is_ahead = end[0] != self.at[0] or self._is_before(end)
        # One that joined ahead of its node may be told of more than it lost.
        return is_ahead and (self._reaches(begin) or (begin[0] == self.at[0] and begin[1] < self.at[1]))

    def _was_passed(self, place: Place) -> bool:
        """Whether a gap that was told went over it."""
        return any(passed[0] != place[0] or place[1] <= passed[1] for passed in self._passed) and (
            self.at is None or self.at[0] != place[0] or place[1] <= self.at[1]
        )

    def _place(self, number: int, offset: int | None) -> Place | None:
        """Where a message is that this client was told of; None if that is not so."""
        places = self._store.written.get(number)
        if places is None or (offset is None) is self.is_kept:
            return None
        if offset is None:
            following = [place for place in places if self.at and place == (self.at[0], self.at[1] + 1)]
            return (following or places)[-1]
        epoch = self.at[0] if self.at is not None else places[-1][0]
        written = self._store.places.get((self.room, epoch, offset))
        return (epoch, offset) if written is not None and written.number == number else None

    def _is_known(self, place: Place) -> bool:
        """Whether the room ever stood there."""
        room = self._store.rooms.get(self.room)
        is_begin = place[1] == 0
        return is_begin or (self.room, *place) in self._store.places or (room is not None and room.epoch == place[0])

    def _is_there(self, place: Place) -> bool:
        """Whether the message behind a place is kept."""
        room = self._store.rooms.get(self.room)
        is_over = room is None or room.epoch != place[0] or room.stream_ends <= self._store.time()
        return room is not None and not is_over and any(kept.offset == place[1] + 1 for kept in room.stream)


def place_of(position: str) -> Place:
    """A position taken apart."""
    epoch, _, offset = position.rpartition(":")
    return epoch, int(offset)
