"""Presence: what a join costs while watchers are told of it."""

from benchmarks.ours import roomcast
from benchmarks.workload import Figure, Load, Rival, Workload


def _watched(watchers: int) -> Workload:
    load, unwatched = Load(1000, rooms=10, watchers=watchers), Load(1000, rooms=10)
    meaning = f"1,000 connects into 10 rooms, the first {watchers} of them watch presence, against none"
    rivals = (Rival(roomcast(), load=unwatched),)
    return Workload(f"presence-{watchers}", meaning, Figure.CONNECT, load, roomcast(), rivals)


WORKLOADS = (_watched(10), _watched(100))
