"""One publisher and one subscriber, 64 messages in flight."""

from benchmarks.ours import roomcast
from benchmarks.workload import Figure, Load, Workload
from benchmarks.workloads.rivals import all_rivals

WORKLOADS = (
    Workload(
        "one-to-one-64",
        "one publisher, one subscriber, 64 in flight",
        Figure.DELIVERY,
        Load(1, messages=250_000, window=64),
        roomcast(),
        all_rivals(0.12, None, 0.5, (50_000, 50_000, 5_000)),
    ),
)
