"""Connect, token and join: one after the other, at a rate, and as a storm of 5,000."""

from benchmarks.ours import roomcast
from benchmarks.peers import centrifuge
from benchmarks.workload import Figure, Load, Rival, Workload

GOAL = 1.4


def _connects(name: str, meaning: str, load: Load) -> Workload:
    rivals = (Rival(centrifuge.TOKENS, GOAL), Rival(centrifuge.HISTORY))
    return Workload(name, meaning, Figure.CONNECT, load, roomcast(), rivals)


WORKLOADS = (
    _connects("connect", "connect, token, join of 2,000 sockets, one after the other", Load(2000)),
    _connects("connect-rate", "the same, 500 a second", Load(2000, at_once=500, connects_per_second=500.0)),
    _connects("connect-storm", "5,000 at once", Load(5000, at_once=5000)),
)
