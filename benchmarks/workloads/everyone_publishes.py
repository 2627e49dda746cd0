"""1,000 clients in rooms of 10, each of which publishes once a second and hears its own messages too."""

from benchmarks.ours import roomcast
from benchmarks.peers import centrifuge, fastapi, socketio_node
from benchmarks.workload import Figure, Load, Rival, Workload

LOAD = Load(1000, rooms=100, messages=10_000, deliveries=10, rate=1000.0, everyone_publishes=True)

WORKLOADS = (
    Workload(
        "everyone",
        "1,000 clients in rooms of 10 that all publish once a second",
        Figure.DELIVERY,
        LOAD,
        roomcast(),
        (
            Rival(centrifuge.HISTORY, 0.6),
            Rival(centrifuge.TUNED),
            Rival(socketio_node.FAST, 0.75),
            Rival(fastapi.FAST, 0.75, 3_000),
        ),
    ),
)
