"""REST: publish and counts, CPU of a request with 16 connections that stay."""

from benchmarks.ours import roomcast
from benchmarks.peers import fastapi
from benchmarks.workload import Figure, Load, Rival, Workload


def _rest(request: str) -> Workload:
    load = Load(16, rooms=10, messages=5_000, request=request)
    rivals = (Rival(fastapi.START, 0.6), Rival(fastapi.FAST))
    return Workload(f"rest-{request}", f"REST {request}, 16 connections", Figure.REQUEST, load, roomcast(), rivals)


WORKLOADS = (_rest("publish"), _rest("counts"))
