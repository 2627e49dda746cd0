"""Pub/sub messages that never reach a node: the next one shows it, or a look at the rooms' heads."""

import asyncio
import itertools
from typing import Final

from service.protocol.events import Message
from tests.faults.proxy import Proxy
from tests.faults.run import Outcome, Row, Run
from tests.support.conversation import Served
from tests.support.records import Entered, Told
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant
from tests.support.wire_client import Client

DROPPED: Final = 0.05
NODES: Final = 3
NODES_IN_CI: Final = 2
TAIL_SECONDS: Final = 2.0
TAIL_ROOMS: Final = 20
TRIALS_PER_ROOM: Final = 5
TRIALS_PER_ROOM_IN_CI: Final = 2


class Tails:
    """Rooms with one listener on each node, to which one message is published and none behind it.

    seconds: of each message, from its acknowledgement until all listeners had it.
    """

    def __init__(self, tenant: Tenant, nodes: list[Served], trials_per_room: int) -> None:
        self.seconds: list[float] = []
        self._tenant = tenant
        self._nodes = nodes
        self._trials_per_room = trials_per_room
        self._rooms = [f"tail-{number}" for number in range(TAIL_ROOMS)]
        self._missing: dict[str, int] = {}
        self._arrived: dict[str, asyncio.Event] = {}

    async def measure(self) -> None:
        """All rooms at once, each some times."""
        ears = [await Client.open(node.address, self._tenant.token("ear")) for node in self._nodes]
        for ear, room in itertools.product(ears, self._rooms):
            await ear.joins(room)
        listening = [asyncio.create_task(self._listen(ear)) for ear in ears]
        async with Rest(self._nodes[0].address, self._tenant.api_key) as rest:
            await asyncio.gather(*(self._try(rest, room) for room in self._rooms))
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
        for ear in ears:
            await ear.close()

    async def _listen(self, ear: Client) -> None:
        while True:
            event = await ear.next(60)
            if isinstance(event, Message):
                key = ear.value(event.data)["key"]
                self._missing[key] -= 1
                if not self._missing[key]:
                    self._arrived[key].set()

    async def _try(self, rest: Rest, room: str) -> None:
        loop = asyncio.get_running_loop()
        for number in range(self._trials_per_room):
            key = f"{room}/{number}"
            self._missing[key], self._arrived[key] = len(self._nodes), asyncio.Event()
            await rest.publish(room, {"key": key})
            acknowledged_at = loop.time()
            try:
                async with asyncio.timeout(3 * TAIL_SECONDS):
                    await self._arrived[key].wait()
            except TimeoutError:
                pass
            self.seconds.append(loop.time() - acknowledged_at)


async def run(run: Run) -> Outcome:
    """So many deliveries, then single messages, while one message in twenty is swallowed on its way to a node."""
    valkey = run.start_valkey()
    proxy = run.ending.enter_context(Proxy(valkey.url, seed=run.seed))
    await run.start_nodes(NODES_IN_CI if run.is_short else NODES, proxy.url)
    await run.make_tenants(1 if run.is_short else 2)
    trials = TRIALS_PER_ROOM_IN_CI if run.is_short else TRIALS_PER_ROOM
    tails = Tails(run.tenants[0], list(run.nodes), trials)
    subscribers, rate = (5, 100) if run.is_short else (15, 300)
    async with run.load(
        rooms=8, publishers_per_room=1, subscribers=subscribers, rooms_per_subscriber=8, messages_per_second=rate
    ) as load:
        proxy.set(dropped_messages=DROPPED)
        while load.deliveries < run.times:
            await asyncio.sleep(0.1)
        await tails.measure()
        counts = proxy.counts()
    if (slowest := max(tails.seconds)) > TAIL_SECONDS:
        run.complain("recovery", f"a lost tail was repaired after {slowest:.2f} s, not 2 s")
    if any(
        isinstance(record, Told) or (isinstance(record, Entered) and record.recovered is False) for record in run.log
    ):
        run.complain("lost", "somebody was told of a gap")
    return run.outcome(
        times=load.deliveries, dropped=counts.dropped, messages_to_nodes=counts.messages, slowest_tail_seconds=slowest
    )


ROW = Row(
    name="pubsub_drops",
    fault="5 % of the messages from Redis to the nodes dropped",
    done_when="over 1,000,000 deliveries nothing is missing, and a lost tail is repaired within 2 s",
    full_times=1_000_000,
    round_times=100_000,
    short_times=2_000,
    run=run,
)
