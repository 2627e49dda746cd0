"""Memory of a joined socket that says nothing, each in a room of its own, and of one that is busy."""

from benchmarks.ours import roomcast
from benchmarks.peers import centrifuge
from benchmarks.workload import Figure, Load, Rival, Workload

GOAL_KB = 5.0
CURVE = "memory of a joined, idle socket in a room of its own, by sockets"


def _idle(sockets: int) -> Workload:
    load = Load(sockets, rooms=sockets, at_once=50)
    rivals = (Rival(centrifuge.HISTORY, GOAL_KB), Rival(centrifuge.MEMORY))
    meaning = f"{sockets:,} joined idle sockets, each in its own room"
    return Workload(f"memory-{sockets}", meaning, Figure.MEMORY, load, roomcast(), rivals, (CURVE, float(sockets)))


WORKLOADS = (_idle(1000), _idle(5000), _idle(15_000))
