"""2,000 sockets in 200 rooms, 2,000 messages a second whatever happens: CPU, and the 99th percentile."""

from benchmarks.ours import roomcast
from benchmarks.peers import centrifuge, socketio_node
from benchmarks.workload import Figure, Load, Rival, Workload

LOAD = Load(2000, rooms=200, messages=20_000, deliveries=10, rate=2000.0)
RIVALS = (centrifuge.TUNED, centrifuge.REDIS, socketio_node.FAST)

WORKLOADS = (
    Workload(
        "open-loop",
        "2,000 sockets in 200 rooms, 2,000 messages a second: CPU",
        Figure.DELIVERY,
        LOAD,
        roomcast(),
        (Rival(centrifuge.HISTORY, 0.6), *(Rival(side) for side in RIVALS)),
    ),
    Workload(
        "open-loop-p99",
        "the same: latency that one of a hundred deliveries passes",
        Figure.P99,
        LOAD,
        roomcast(),
        (Rival(centrifuge.HISTORY, 0.3), *(Rival(side) for side in RIVALS)),
    ),
)
