"""What a harness writes down of a run, in the order in which it saw things; the checker reads it.

A message is known by its `key`, which it carries as payload too. A room is known by a text of the harness' own that
names its tenant as well, as `acme/chat`, where a run has several.
"""

from typing import NamedTuple

Place = tuple[str, int]


class Started(NamedTuple):
    """A publisher is about to send; again when it retries."""

    publisher: str
    room: str
    key: str


class Acknowledged(NamedTuple):
    """`published` came."""

    publisher: str
    room: str
    key: str
    place: Place


class Refused(NamedTuple):
    """An error came: `unavailable` leaves open whether the message was stored."""

    publisher: str
    room: str
    key: str
    code: str


class Entered(NamedTuple):
    """`joined` came. `recovered`: as there, so True continues at the position that was given as `since`."""

    subscriber: str
    room: str
    place: Place
    recovered: bool | None


class Told(NamedTuple):
    """A `gap` came: live goes on behind `place`."""

    subscriber: str
    room: str
    place: Place


class Delivered(NamedTuple):
    """A `message` came, or the `published` that stands for it."""

    subscriber: str
    room: str
    key: str
    place: Place


class Kept(NamedTuple):
    """At the end the history has it; of a room in ascending order."""

    room: str
    key: str
    place: Place


class Ends(NamedTuple):
    """At the end the room stands here, whether or not its history has any message; comes before its Kept ones."""

    room: str
    place: Place


class DataLost(NamedTuple):
    """The harness took data away, and has seen the last answer of before: these (room, epoch) have ended."""

    epochs: frozenset[tuple[str, str]]


class Heard(NamedTuple):
    """Something that stood in a frame or an answer names `tenant` by its canary; its reader is of `reader_tenant`."""

    reader: str
    reader_tenant: str
    tenant: str


class Sees(NamedTuple):
    """From now on this list of the room's members is the observer's; None: it has none, or just asks for a new one.

    is_exact: what moves from now on is news to it. Pages after a `reset` are not so: what moved shortly before they
    were read may be told after them.
    """

    observer: str
    room: str
    connections: frozenset[str] | None
    is_exact: bool = True


class Moved(NamedTuple):
    """An observer of the room was told that this connection came, or went."""

    observer: str
    room: str
    connection: str
    is_here: bool


class Quiet(NamedTuple):
    """Nothing has moved for long enough: whoever has a list of the room's members has this one.

    away: observers who can hear nothing now.
    """

    room: str
    connections: frozenset[str]
    away: frozenset[str] = frozenset()


class Counter(NamedTuple):
    """A figure that the server gave at the end, and between which two the harness' own count lies, both included."""

    name: str
    served: float
    least: float
    most: float


Record = (
    Started
    | Acknowledged
    | Refused
    | Entered
    | Told
    | Delivered
    | Kept
    | Ends
    | DataLost
    | Heard
    | Sees
    | Moved
    | Quiet
    | Counter
)
