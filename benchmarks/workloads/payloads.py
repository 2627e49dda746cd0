"""Payloads of 100 bytes, 1 KB and 16 KB in a room of 100."""

from benchmarks.ours import roomcast
from benchmarks.peers import centrifuge, nats
from benchmarks.workload import Figure, Load, Rival, Workload

CURVE = "one room of 100, 16 in flight, by payload in bytes"
RIVALS = (centrifuge.HISTORY, centrifuge.TUNED, nats.FAST)


def _payload(size: int, messages: int) -> Workload:
    load = Load(100, messages=messages, deliveries=100, window=16, payload_bytes=size)
    meaning = f"100 sockets in one room, 16 in flight, {size:,} bytes each"
    rivals = tuple(Rival(side) for side in RIVALS)
    return Workload(f"payload-{size}", meaning, Figure.DELIVERY, load, roomcast(), rivals, (CURVE, float(size)))


WORKLOADS = (_payload(100, 20_000), _payload(1000, 20_000), _payload(16_000, 5_000))
