"""The list of a room's members as one watcher keeps it by what it is told: joins and leaves alternate."""

from collections.abc import Callable
from typing import Any


class Listing:
    """One watcher's list, while it watches. members: by connection; connections: how many it was told there are."""

    def __init__(self, room: str, complain: Callable[[str], None], ask: Callable[[str, str | None], None]) -> None:
        self._room, self._complain, self._ask = room, complain, ask
        self.is_watching = False
        self.members: dict[str, Any] = {}
        self.connections = 0
        self._was_reset = False
        self._told: set[str] = set()  # whom events told of since the last reset
        self._pages = 0
        self._cursor: str | None = None

    def is_right(self, connections: set[str]) -> bool:
        """Whether it shows just these, now that all is quiet."""
        return self.connections == len(connections) and set(self.members) == connections

    def begin(self, joined: dict[str, Any]) -> None:
        """A join that watches was answered."""
        self.is_watching = True
        self._was_reset = False
        self.members = {member["connection"]: member for member in joined["members"]}
        self.connections = joined["occupancy"]["connections"]

    def end(self) -> None:
        """It watches no more."""
        self.is_watching = False
        self._pages = 0

    def presence(self, event: dict[str, Any]) -> None:
        """Members joined, changed and left."""
        if not self.is_watching:
            self._complain(f"{event} came to one who does not watch")
            return
        self.connections = event["occupancy"]["connections"]
        if event.get("reset"):
            self.members.clear()
            self._told.clear()
            self._was_reset = True
            self._pages += 1
            self._cursor = None
            self._ask(self._room, None)
        # Pages may know of a change before its event, which comes when more of them were gathered.
        is_listing = self._was_reset
        for member in (*event["left"], *event["changed"], *event["joined"]):
            self._told |= {member["connection"], member.get("was", member["connection"])}
        for member in event["left"]:
            if self.members.pop(member["connection"], None) is None and not is_listing:
                self._complain(f"{event}: one leaves who was not there, but {sorted(self.members)}")
        for member in event["changed"]:
            if self.members.pop(member.get("was", member["connection"]), None) is None and not is_listing:
                self._complain(f"{event}: one changes who was not there, but {sorted(self.members)}")
            self.members[member["connection"]] = member
        for member in event["joined"]:
            if member["connection"] in self.members and not is_listing:
                self._complain(f"{event}: one joins who was there")
            self.members[member["connection"]] = member

    def page(self, event: dict[str, Any]) -> None:
        """A page of the list that was asked for."""
        if not self.is_watching or not self._pages:
            return
        for member in event["members"]:
            if member["connection"] not in self._told:  # an event may overtake the page, which is older then
                self.members[member["connection"]] = member
        self._cursor = event.get("next_cursor")
        if self._cursor is not None:
            self._ask(self._room, self._cursor)
        else:
            self._pages -= 1

    def ask_again(self) -> None:
        """A page was refused."""
        if self.is_watching and self._pages:
            self._ask(self._room, self._cursor)
