"""A storm of reconnects: 2,000 sockets in 200 rooms are lost and come back for the 10 messages that each missed."""

from benchmarks.ours import roomcast
from benchmarks.peers import centrifuge
from benchmarks.workload import Figure, Load, Rival, Workload

WORKLOADS = (
    Workload(
        "reconnect-storm",
        "2,000 sockets in 200 rooms lost at once, back for 10 missed messages each",
        Figure.RECOVERY,
        Load(2000, rooms=200, messages=2000, deliveries=10, window=200, at_once=500, comes_back=True),
        roomcast(),
        (Rival(centrifuge.TOKENS), Rival(centrifuge.HISTORY)),
    ),
)
