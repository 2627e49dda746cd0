"""Memory of a socket: one that has joined nothing; a joined one that says nothing, each in a room of its own; and a
busy one, in rooms of 10, after each has got 20 messages."""

from benchmarks.ours import roomcast
from benchmarks.peers import centrifuge
from benchmarks.workload import Figure, Load, Rival, Workload

GOAL_KB = 5.0
SIZES = (1000, 5000, 15_000)
SETTLE_MS = 3000  # until garbage is gone


def _memory(kind: str, meaning: str, figure: Figure, load: Load, goal: float | None = None) -> Workload:
    rivals = (Rival(centrifuge.HISTORY, goal), Rival(centrifuge.MEMORY))
    point = (f"memory of a socket, {meaning}, by sockets", float(load.sockets))
    name = f"memory-{kind}{load.sockets}"
    return Workload(name, f"{load.sockets:,} sockets, {meaning}", figure, load, roomcast(), rivals, point)


def _busy(sockets: int) -> Load:
    return Load(sockets, rooms=sockets // 10, messages=2 * sockets, deliveries=10, window=100, at_once=50)


WORKLOADS = (
    *(
        _memory("", "joined and idle", Figure.MEMORY, Load(n, rooms=n, at_once=50, settle_ms=SETTLE_MS), GOAL_KB)
        for n in SIZES
    ),
    *(
        _memory("idle-", "connected alone", Figure.MEMORY, Load(n, rooms=n, joins=0, at_once=50, settle_ms=SETTLE_MS))
        for n in SIZES
    ),
    *(_memory("busy-", "joined and busy", Figure.BUSY_MEMORY, _busy(n)) for n in SIZES),
)
