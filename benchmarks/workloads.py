"""What is measured: five workloads, their figure and their goal (the project's issue 3, "Speed and size")."""

from dataclasses import dataclass, replace
from enum import StrEnum


class Figure(StrEnum):
    """The figure a workload is about; the value is its unit."""

    DELIVERY = "µs/delivery"
    CONNECT = "µs/connect"
    MEMORY = "KB/socket"


@dataclass(frozen=True)
class Workload:
    """One run of the load generator.

    `window` messages are in flight at once. Ours is much the cheaper side, so it gets more `messages` than the peer:
    CPU is read in ticks of 10 ms, and a run should burn at least 50 of them on either side in under 20 s.
    `goal` bounds the ratio ours/peer, for MEMORY our figure itself.
    """

    name: str
    meaning: str
    figure: Figure
    goal: float
    sockets: int
    room_each: bool = False
    window: int = 1
    messages: int = 0
    peer_messages: int = 0

    def shortened(self) -> "Workload":
        """The same in about a second: it shows that everything works, its figures mean little."""
        return replace(
            self,
            sockets=min(self.sockets, 200),
            messages=min(self.messages, 500),
            peer_messages=min(self.peer_messages, 500),
        )


def _delivery(
    name: str, meaning: str, goal: float, sockets: int, window: int, messages: int, peer_messages: int
) -> Workload:
    return Workload(name, meaning, Figure.DELIVERY, goal, sockets, False, window, messages, peer_messages)


WORKLOADS = (
    _delivery("room-1000-1", "1,000 sockets in one room, 1 in flight", 0.72, 1000, 1, 800, 600),
    _delivery("room-1000-16", "the same, 16 in flight", 0.12, 1000, 16, 6000, 600),
    _delivery("one-to-one-64", "one publisher, one subscriber, 64 in flight", 0.20, 1, 64, 250_000, 50_000),
    Workload("connect", "connect, token, join of 2,000 sockets", Figure.CONNECT, 2.0, 2000),
    Workload("memory", "5,000 joined idle sockets, each in its own room", Figure.MEMORY, 8.0, 5000, room_each=True),
)

WARM_UP = _delivery("warm-up", "caches filled, lazy imports done", 0, 20, 4, 400, 400)
