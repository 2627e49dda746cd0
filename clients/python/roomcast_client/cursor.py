"""How far a room is delivered: docs/PROTOCOL.md, "Order" and "Recovery". Pure."""

from typing import NamedTuple


class Place(NamedTuple):
    """An `epoch:offset` text, read."""

    epoch: str
    offset: int


def read(position: str | None) -> Place | None:
    """A position's two parts; epochs have no colon."""
    if position is None:
        return None
    epoch, _, offset = position.partition(":")
    return Place(epoch, int(offset))


class Cursor:
    """`position` is what the next `join` sends as `since`: that of the last thing delivered, never ahead of it.

    So `joined` does not move it while what was missed (`recovered: true`), or the gap (`recovered: false`), is still to
    come: if the connection ends before that, it comes after the next join.
    """

    def __init__(self, since: str | None = None) -> None:
        self.position = since
        self._reached = read(since)  # at or below this nothing is delivered again

    def joined(self, position: str | None, recovered: bool | None) -> None:
        """A join was answered."""
        if recovered is None:
            self.position = position
        if not recovered:
            self._reached = read(position)

    def message(self, offset: int | None) -> bool:
        """A message came; False if it was delivered before. `offset` is None in rooms without history."""
        if offset is None or self._reached is None:
            return True
        if offset <= self._reached.offset:
            return False
        self._reached = Place(self._reached.epoch, offset)
        self.position = f"{self._reached.epoch}:{offset}"
        return True

    def published(self, position: str | None, is_duplicate: bool) -> None:
        """The answer to an own publish stands in its message's place, unless a gap passed that."""
        place = read(position)
        if place is not None and self._reached is not None and place.epoch == self._reached.epoch and not is_duplicate:
            self.message(place.offset)

    def gap(self, to: str | None) -> None:
        """What lies before `to` is lost."""
        self.position = to
        self._reached = read(to)
