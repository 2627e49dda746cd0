"""What Redis holds, and what its scripts do with it: a model in plain Python, after service/brokers/scripts/*.lua.

Every method is one script: atomic, at the store's own clock. What it announces goes to every line that hears the room.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from service.brokers.broker import Envelope, History, Origin, Publication, Retention, RoomReceiver
from service.protocol.identifiers import Position
from tests.simulation.clock import BEGAN_AT
from tests.simulation.stored_members import StoredMembers

KEY_SECONDS: Final = 300.0

Tell = Callable[[RoomReceiver], None]


class Written(NamedTuple):
    """A message that was stored, by the number that it carries."""

    number: int
    origin: Origin


class StoredRoom:
    """One room's meta, stream and members. generation: as of the epoch's begin. changed_at: of its last message."""

    def __init__(self, epoch: str, generation: int) -> None:
        self.epoch = epoch
        self.generation = generation
        self.offset = self.cut = 0
        self.stream: list[Envelope] = []
        self.stream_ends = self.changed_at = 0.0

    def copy(self) -> "StoredRoom":
        """As it is now, for a backup."""
        copied = StoredRoom(self.epoch, self.generation)
        copied.__dict__ |= self.__dict__
        copied.stream = list(self.stream)
        return copied


class Store:
    """One Redis, and what its witnesses know of it. places: what was ever stored in a room at an epoch and offset.
    written: by number, where a message was stored, more than once if Redis forgot it. wrong: what no script may do.

    heard: lines that are subscribed, by room. forgiven: messages whose keys a restart lost.
    """

    def __init__(self, time: Callable[[], float]) -> None:
        self.time = time
        self.rooms: dict[str, StoredRoom] = {}
        self.members: dict[str, StoredMembers] = {}
        self.keys: dict[tuple[str, str, str], tuple[float, Publication]] = {}
        self.leases: dict[str, float] = {}
        self.claims: dict[str, set[str]] = {}
        self.heard: dict[str, list[Callable[[Tell], None]]] = {}
        self.written: dict[int, list[tuple[str, int]]] = {}
        self.places: dict[tuple[str, str, int], Written] = {}
        self.wrong: list[str] = []
        self.forgiven: set[int] = set()
        self.generation = 1
        self._epochs = self._leases = 0

    # Messages

    def publish(
        self, name: str, body: bytes, origin: Origin, retention: Retention, key: tuple[str, str] | None, generation: int
    ) -> Publication:
        """publish.lua. The body begins with `"data":` and a number, by which the message is known."""
        members = self.members_of(name)
        if key is not None:
            known = self.keys.get((name, *key))
            if known is not None and known[0] > self.time():
                first = known[1]
                return Publication(first.epoch, first.offset, first.stored, True, members.count)
        room = self._head(name, generation)
        self._expire(room)
        if room.stream and room.stream[-1].offset > room.offset:
            self._begin_epoch(name, generation)
            room = self.rooms[name]
        room.offset += 1
        room.changed_at = self.time()
        stored = retention.messages > 0
        envelope = Envelope(room.epoch, room.offset, stored, int((BEGAN_AT + self.time()) * 1_000), origin, body)
        if stored:
            room.stream.append(envelope)
            del room.stream[: -retention.messages]
            room.stream_ends = self.time() + retention.seconds
        else:
            room.stream.clear()
        self._note(name, envelope)
        published = Publication(room.epoch, room.offset, stored, False, members.count)
        if key is not None:
            self.keys[(name, *key)] = (self.time() + KEY_SECONDS, published)
        self.tell(name, lambda receiver: receiver.receive_message(envelope))
        return published

    def read_history(
        self, name: str, after: int | None, before: int | None, limit: int, newest: bool, generation: int
    ) -> History:
        """read_history.lua, without its bound in bytes."""
        room = self._head(name, generation)
        self._expire(room)
        if room.stream and room.stream[-1].offset != room.offset:
            room = self._begin_epoch(name, generation)
        head = Position(room.epoch, room.offset)
        if not room.stream:
            return History(head, room.offset + 1, room.cut, [], False)
        low, high = -1 if after is None else after, room.offset + 1 if before is None else before
        found = [kept for kept in room.stream if low < kept.offset < high]
        page = found[-limit:] if newest else found[:limit]
        return History(head, room.stream[0].offset, room.cut, page, len(page) < len(found))

    def end_epoch(self, name: str, epoch: str, generation: int) -> Position:
        """end_epoch.lua; "": whichever it is."""
        room = self._head(name, generation)
        if epoch in ("", room.epoch):
            room = self._begin_epoch(name, generation)
        return Position(room.epoch, room.offset)

    def head(self, name: str, generation: int) -> Position:
        """head.lua."""
        room = self._head(name, generation)
        return Position(room.epoch, room.offset)

    def _head(self, name: str, generation: int) -> StoredRoom:
        room = self.rooms.get(name)
        if room is None or room.generation < generation:
            return self._begin_epoch(name, generation)
        return room

    def _begin_epoch(self, name: str, generation: int) -> StoredRoom:
        self._epochs += 1
        before = self.rooms.get(name)
        room = self.rooms[name] = StoredRoom(f"e{self._epochs}", generation)
        if before is not None:
            head = Position(room.epoch, 0)
            self.tell(name, lambda receiver: receiver.receive_epoch(head))
        return room

    def _expire(self, room: StoredRoom) -> None:
        if self.time() >= room.stream_ends:
            room.stream.clear()

    def _note(self, name: str, envelope: Envelope) -> None:
        number, place = number_of(envelope.body), (name, envelope.epoch, envelope.offset)
        if number in self.written and number not in self.forgiven:
            self.wrong.append(f"message {number} is stored twice: at {self.written[number]} and at {place}")
        if place in self.places:
            self.wrong.append(f"{self.places[place]} and message {number} have one place, {place}")
        self.forgiven.discard(number)
        self.places[place] = Written(number, envelope.origin)
        self.written.setdefault(number, []).append((envelope.epoch, envelope.offset))

    def tell(self, name: str, deliver: Tell) -> None:
        """PUBLISH to the room's channel."""
        for hear in self.heard.get(name, ()):
            hear(deliver)

    # What befalls histories

    def trim(self, name: str, messages: int, *, for_budget: bool = False) -> None:
        """Drop the oldest; `for_budget` as cut_history.lua does, else as MAXLEN does."""
        room = self.rooms.get(name)
        if room is not None:
            gone = room.stream[:messages]
            del room.stream[:messages]
            if gone and for_budget:
                room.cut = gone[-1].offset

    def evict(self, name: str) -> None:
        """The stream is gone, and the meta is not."""
        room = self.rooms.get(name)
        if room is not None:
            room.stream.clear()

    def backup(self) -> "dict[str, StoredRoom]":
        """The rooms as they are now."""
        return {name: room.copy() for name, room in self.rooms.items()}

    def restart(self, kept: "dict[str, StoredRoom] | None", *, is_proved: bool) -> None:
        """Redis comes back with `kept` (None: with everything). Unless nothing is known to be lost, the generation
        rises. Subscriptions are gone; leases and members, too, if data is.
        """
        if kept is not None:
            self.rooms = kept
            self.forgiven.update(self.written)
            self.members, self.keys, self.leases, self.claims = {}, {}, {}, {}
        if not is_proved:
            self.generation += 1
        self.heard.clear()

    # Members and leases

    def members_of(self, name: str) -> StoredMembers:
        """The room's members."""
        members = self.members.get(name)
        if members is None:
            members = self.members[name] = StoredMembers(self.time, lambda deliver: self.tell(name, deliver))
        return members

    def take_lease(self, node: str, seconds: float) -> str:
        """take_lease.lua."""
        self._leases += 1
        lease = f"{node}.{self._leases}"
        self.leases[lease] = self.time() + seconds
        self.claims[lease] = set()
        return lease

    def renew_lease(self, lease: str, seconds: float) -> bool:
        """renew_lease.lua."""
        if lease not in self.leases:
            return False
        self.leases[lease] = self.time() + seconds
        return True

    def claim_room(self, lease: str, name: str) -> int:
        """claim_room.lua."""
        self.claims.setdefault(lease, set()).add(name)
        return len(set[str]().union(*self.claims.values()))

    def end_lease(self, lease: str) -> None:
        """Sweep: what is under a lease goes."""
        self.leases.pop(lease, None)
        for name in sorted(self.claims.pop(lease, ())):
            self.members_of(name).sweep(lease)

    def sweep_ended(self) -> None:
        """What any node does for those that died."""
        for lease in [lease for lease, ends_at in self.leases.items() if ends_at <= self.time()]:
            self.end_lease(lease)

    def end_absences(self) -> None:
        """End the graces that are over."""
        for members in self.members.values():
            members.end_absences()


def number_of(body: bytes) -> int:
    """The number that a body of ours carries."""
    return int(body[body.index(b":", body.index(b'"data"')) + 1 : body.index(b',"from"')])
