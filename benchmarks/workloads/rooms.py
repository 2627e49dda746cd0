"""The same total load on 1 to 100,000 rooms: 2,000 messages a second, each with one delivery, to 100 sockets."""

from benchmarks.ours import roomcast
from benchmarks.workload import Figure, Load, Rival, Workload

SOCKETS = 100
CURVE = "2,000 messages a second, each with one delivery, by rooms"


def _load(rooms: int) -> Load:
    sockets = min(SOCKETS, rooms)
    return Load(sockets, rooms=rooms, joins=rooms // sockets, messages=20_000, rate=2000.0)


def _rooms(number: int, goal: float | None) -> Workload:
    rivals = (Rival(roomcast(), goal, load=_load(SOCKETS)),)
    meaning = f"{number:,} rooms against {SOCKETS}, 2,000 messages a second, each with one delivery"
    point = (CURVE, float(number))
    return Workload(f"rooms-{number}", meaning, Figure.DELIVERY, _load(number), roomcast(), rivals, point)


WORKLOADS = (_rooms(1, None), _rooms(1000, None), _rooms(10_000, None), _rooms(100_000, 1.2))
