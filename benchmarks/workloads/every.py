"""All workloads, and the short set of `make bench`: the same rows with the rival that the goals name first."""

from dataclasses import replace

from benchmarks.workload import Load, Workload
from benchmarks.workloads import (
    connects,
    everyone_publishes,
    history,
    memory,
    one_room,
    one_to_one,
    open_loop,
    payloads,
    presence,
    reconnects,
    rest,
    rooms,
    schema,
    tenants,
    workers,
)

EVERY: tuple[Workload, ...] = (
    *one_room.WORKLOADS,
    *one_to_one.WORKLOADS,
    *open_loop.WORKLOADS,
    *everyone_publishes.WORKLOADS,
    *payloads.WORKLOADS,
    *history.WORKLOADS,
    *schema.WORKLOADS,
    *connects.WORKLOADS,
    *reconnects.WORKLOADS,
    *presence.WORKLOADS,
    *rest.WORKLOADS,
    *memory.WORKLOADS,
    *workers.WORKLOADS,
    *tenants.WORKLOADS,
    *rooms.WORKLOADS,
)
SHORT_NAMES = ("room-1000-1", "room-1000-16", "one-to-one-64", "everyone", "connect", "memory-5000")
SHORT = tuple(replace(each, rivals=each.rivals[:1]) for each in EVERY if each.name in SHORT_NAMES)


def warm_up(load: Load) -> Load:
    """What comes before: caches filled, lazy imports done; in rooms of its own (`runner.warm_up_words`).

    Where everyone publishes each socket has a room for itself, as no two need be of one tenant.
    """
    if load.everyone_publishes:
        return Load(20, rooms=20, messages=400, rate=1000.0, everyone_publishes=True)
    return Load(20, messages=400, deliveries=20, window=4)
