"""What checking each message against a JSON Schema costs: the same with and without."""

from benchmarks.ours import Setup, roomcast
from benchmarks.workload import Figure, Load, Rival, Workload

WITH = roomcast(Setup(has_schema=True), "Roomcast with a schema")

WORKLOADS = (
    Workload(
        "schema",
        "one to one, 64 in flight: schema on and off",
        Figure.DELIVERY,
        Load(1, messages=100_000, window=64),
        WITH,
        (Rival(roomcast()),),
    ),
)
