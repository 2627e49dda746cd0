"""Two workers against one: CPU of a delivery, both on the same core."""

from benchmarks.ours import Setup, roomcast
from benchmarks.workload import Figure, Load, Rival, Workload

WORKLOADS = (
    Workload(
        "workers",
        "2,000 sockets in 200 rooms, 2,000 messages a second: two workers against one",
        Figure.DELIVERY,
        Load(2000, rooms=200, messages=20_000, deliveries=10, rate=2000.0),
        roomcast(Setup(workers=2), "Roomcast, two workers"),
        (Rival(roomcast(), 1.1),),
    ),
)
