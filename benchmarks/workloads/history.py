"""What keeping 100 messages a room costs: the same with and without."""

from benchmarks.ours import Setup, roomcast
from benchmarks.workload import Figure, Load, Rival, Workload

WITHOUT = roomcast(Setup(keeps_history=False), "Roomcast without history")


def _history(name: str, meaning: str, load: Load) -> Workload:
    return Workload(name, meaning, Figure.DELIVERY, load, roomcast(), (Rival(WITHOUT),))


WORKLOADS = (
    _history("history-room", "1,000 in one room, 1 in flight: history on and off", Load(1000, 1, 1, 800, 1000)),
    _history("history-one-to-one", "one to one, 64 in flight: history on and off", Load(1, 1, 1, 100_000, 1, 64)),
)
