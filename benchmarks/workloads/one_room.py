"""One room of 1,000 sockets, with 1, 16 and 64 messages in flight."""

from benchmarks.ours import roomcast
from benchmarks.workload import Figure, Load, Rival, Workload
from benchmarks.workloads.rivals import all_rivals

SOCKETS = 1000
CURVE = "one room of 1,000, by messages in flight"


def _one_room(window: int, messages: int, rivals: tuple[Rival, ...]) -> Workload:
    load = Load(SOCKETS, messages=messages, deliveries=SOCKETS, window=window)
    meaning = f"1,000 sockets in one room, {window} in flight"
    return Workload(f"room-1000-{window}", meaning, Figure.DELIVERY, load, roomcast(), rivals, (CURVE, float(window)))


WORKLOADS = (
    _one_room(1, 800, all_rivals(0.65, None, 0.75, (600, 600, 60))),
    _one_room(16, 6000, all_rivals(0.08, 0.6, 0.5, (3000, 600, 80))),
    _one_room(64, 10_000, all_rivals(0.08, 0.6, 0.5, (6000, 600, 128))),
)
