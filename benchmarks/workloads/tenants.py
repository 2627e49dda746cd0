"""The same total load on 10, 100, 1,000 and 10,000 tenants: 10,000 sockets, 2,000 messages a second."""

from benchmarks.ours import Setup, roomcast
from benchmarks.workload import Figure, Load, Rival, Workload

SOCKETS = 10_000
CURVE = "10,000 sockets, 2,000 messages a second, by tenants"
TEN = roomcast(Setup(tenants=10), "Roomcast, 10 tenants")


def _tenants(tenants: int, goal: float | None) -> Workload:
    load = Load(
        *(SOCKETS, SOCKETS),
        messages=20_000,
        rate=2000.0,
        everyone_publishes=True,
        at_once=50,
    )
    ours = roomcast(Setup(tenants=tenants), f"Roomcast, {tenants:,} tenants")
    return Workload(
        f"tenants-{tenants}",
        f"10,000 sockets of {tenants:,} tenants against 10, 2,000 messages a second",
        *(Figure.DELIVERY, load, ours, (Rival(TEN, goal),), (CURVE, float(tenants))),
    )


WORKLOADS = (_tenants(100, None), _tenants(1000, None), _tenants(10_000, 1.1))
