"""What a workload is: what the load generator does, which figure counts, and who is measured against whom."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any


class Figure(StrEnum):
    """The figure a workload is about; the value is its unit. Smaller is better for all of them."""

    DELIVERY = "µs/delivery"
    CONNECT = "µs/connect"
    RECOVERY = "µs/recovery"
    REQUEST = "µs/request"
    MEMORY = "KB/socket"
    BUSY_MEMORY = "KB/busy socket"
    P99 = "µs to the 99th percentile"


@dataclass(frozen=True)
class Words:
    """How a server is spoken to: templates of load/frames.c, with {room}, {socket}, {payload} and so on.

    Each socket sends `subscribe` and is ready when it heard `ready` ("": when it has sent its last frame); the
    publisher sends `greeting`, then `publish` for every message. again: what a socket sends that comes back for what it
    missed, from the epoch that stood behind `epoch_after`. requests: whole HTTP requests by name.
    """

    path: str
    subscribe: tuple[str, ...]
    publish: str
    ready: str = ""
    greeting: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    publisher_path: str = ""
    is_binary: bool = False
    again: tuple[str, ...] = ()
    epoch_after: str = ""
    watch: str = ""
    requests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Server:
    """A running server: where it listens, the process whose tree is measured, how it is spoken to.

    tokens: a file of header lines, one for each socket in turn.
    """

    port: int
    pid: int
    words: Words
    tokens: Path | None = None


Starter = Callable[[int, Path], AbstractContextManager[Server]]


@dataclass(frozen=True)
class Side:
    """One of the two that are measured: a name for files, a title for people, and how it is started, with the port of
    a fresh Redis and a fresh folder.

    abilities: what it has besides rooms: "tokens", "recovery", "requests", "presence".
    """

    name: str
    title: str
    start: Starter
    abilities: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Load:
    """What the load generator does (load/main.c); None: not that.

    joins: rooms of each socket, 0: it connects and no more. messages: published, or requests. deliveries: of each
    message. window: closed loop; rate: open loop, a second. at_once: connects under way. comes_back: after the messages
    all sockets are lost and come back for as many more.
    """

    sockets: int
    rooms: int = 1
    joins: int = 1
    messages: int = 0
    deliveries: int = 1
    window: int = 1
    rate: float | None = None
    everyone_publishes: bool = False
    payload_bytes: int = 100
    at_once: int = 1
    connects_per_second: float | None = None
    comes_back: bool = False
    watchers: int = 0
    request: str | None = None
    settle_ms: int = 1000


@dataclass(frozen=True)
class Rival:
    """Whom ours is measured against. goal: the greatest ratio ours/rival, for MEMORY in KB of our own figure; None:
    shown without one. messages: where it needs others than ours, to be measured in about as long. load: where what is
    compared is another load."""

    side: Side
    goal: float | None = None
    messages: int | None = None
    load: Load | None = None


@dataclass(frozen=True)
class Workload:
    """One row of the report. ours: the side of Roomcast; rivals: measured in turn with it."""

    name: str
    meaning: str
    figure: Figure
    load: Load
    ours: Side
    rivals: tuple[Rival, ...]
    curve: tuple[str, float] | None = None  # the picture of which it is a point, and where on its x axis

    def loads(self, rival: Rival) -> tuple[Load, Load]:
        """Ours and the rival's."""
        theirs = rival.load or self.load
        return self.load, theirs if rival.messages is None else replace(theirs, messages=rival.messages)

    def shortened(self) -> "Workload":
        """The same in about a second: it shows that everything works, its figures mean nothing."""
        rivals = tuple(
            replace(rival, messages=None, load=rival.load and shortened(rival.load)) for rival in self.rivals
        )
        return replace(self, load=shortened(self.load), rivals=rivals)


def shortened(load: Load) -> Load:
    """A load of at most 100 sockets and about 300 messages, with as many members in each room as those allow."""
    sockets, joins = min(load.sockets, 100), min(load.joins, 3)
    per_room = max(1, load.sockets * max(1, load.joins) // load.rooms)
    members = min(per_room, sockets)
    rooms = max(1, sockets * max(1, joins) // members)
    deliveries = members if load.deliveries > 1 else 1
    messages = 0 if not load.messages else 300 if load.request or rooms > 300 else 300 // rooms * rooms
    rate = None if load.rate is None else min(load.rate, 200.0)
    changes: dict[str, Any] = {
        "sockets": sockets,
        "joins": joins,
        "rooms": rooms,
        "messages": messages,
        "deliveries": deliveries,
    }
    return replace(load, **changes, rate=rate, watchers=min(load.watchers, 10))


def figure_of(figure: Figure, result: Mapping[str, Any]) -> dict[str, float]:
    """A run's figure by group of processes ("node", "redis"), from what the load generator printed."""
    if figure is Figure.MEMORY:
        return dict(result["kb_per_socket"])
    if figure is Figure.BUSY_MEMORY:
        return dict(result["kb_per_busy_socket"])
    if figure is Figure.P99:
        return {"node": float(result["deliveries"]["p99_us"])}
    phases = {
        Figure.DELIVERY: "deliveries",
        Figure.CONNECT: "connects",
        Figure.RECOVERY: "recoveries",
        Figure.REQUEST: "requests",
    }
    phase = result[phases[figure]]
    return {group: cpu / max(1, phase["count"]) for group, cpu in phase["cpu_us"].items()}
