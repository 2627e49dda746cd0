"""What a row of the fault table is, and what one round of it has at hand.

A row is a module in `tests/faults/rows/` that has `ROW = Row(…)`. A round is one call of its `run`: it starts what it
needs through `Run`, lets a load talk, does its faults, and hands back `run.outcome()`:

    async def run(run: Run) -> Outcome:
        valkey = run.start_valkey()
        await run.start_nodes(3, valkey.url)
        await run.make_tenants(2)
        async with run.load(subscribers=10) as load:
            for _ in range(run.times):
                await asyncio.sleep(run.chance.uniform(1, 3))
                await asyncio.to_thread(valkey.kill)
                await asyncio.to_thread(valkey.start)
                run.recovered(await load.publishes_again(), within_seconds=2)
                await run.healed()
        return run.outcome()
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from service.preparation import open_storage, prepare_database
from service.settings import Settings
from service.tenants.storage import Storage
from tests.support.canaries import leaks
from tests.support.checker import Broken, Kind, check, epochs_of
from tests.support.conversation import Served, room_of
from tests.support.live_server import LiveNode, LiveServe
from tests.support.load import Load
from tests.support.records import Acknowledged, Counter, DataLost, Record, Started
from tests.support.tenants import Tenant, make_tenant
from tests.support.valkey import Valkey

KEPT_MESSAGES: Final = 1_000  # of each room of the tenants here: all of a round


class Outcome(msgspec.Struct, kw_only=True):
    """What came of one round.

    times: faults that were tried. broken: what the checker, or the row itself, found; none of it is the row's success.
    longest_gap_seconds: the longest that one subscriber heard nothing while messages were published.
    recovery_seconds: of each fault, from its end to publishing again. figures: what else is worth a look.
    """

    times: int
    broken: list[Broken]
    acknowledged: int = 0
    deliveries: int = 0
    longest_gap_seconds: float = 0
    recovery_seconds: list[float] = []
    figures: dict[str, float] = {}


class Run:
    """One round: a seeded chance, the servers and clients that it starts, and the log of all they saw.

    times: how many faults this round is to try. is_short: the round of CI, which has 15 s. patience: by how much bounds
    of time are longer there, where other tests have the cores. folder: the round's own,
    with a short path. log: every record, for the checker; a row with clients of its own appends to it. ending: an
    `AsyncExitStack`, for what a row starts itself (a proxy, a group of Sentinels); it is unwound after the nodes' end.
    """

    def __init__(self, seed: int, times: int, folder: Path, *, is_short: bool) -> None:
        self.seed = seed
        self.times = times
        self.is_short = is_short
        self.patience = 3.0 if is_short else 1.0
        self.folder = folder
        self.chance = random.Random(seed)
        self.log: list[Record] = []
        self.nodes: list[LiveNode] = []
        self.tenants: list[Tenant] = []
        self.ending = AsyncExitStack()
        self.storage: Storage
        self._loads: list[Load] = []
        self._broken: list[Broken] = []
        self._recovery_seconds: list[float] = []
        self._logs = folder / "logs"
        self._logs.mkdir()

    # Servers

    def start_valkey(self, *, loses_nothing: bool = True) -> Valkey:
        """A Valkey of the round's own, with `appendfsync always` (else `everysec`); it ends with the round."""
        folder = self.folder / f"v{len(list(self.folder.glob('v*')))}"
        folder.mkdir()
        valkey = Valkey(folder, self._logs / f"{folder.name}.log")
        valkey.start()
        if loses_nothing:
            valkey.loses_nothing()
        self.ending.callback(valkey.stop)
        return valkey

    async def start_nodes(self, count: int, redis_url: str, **settings: Any) -> list[LiveNode]:
        """So many more nodes, serving, on one database; other settings as in `Settings`. Also appended to `nodes`."""
        values: dict[str, Any] = {"connects_per_second_per_address": None, "drain_seconds": 1} | settings
        chosen = Settings(data_dir=self.folder / "data", redis_url=redis_url, **values)
        await self._prepare(chosen)
        first = len(self.nodes)
        self.nodes += [LiveNode(chosen, self._logs / f"node-{first + number}.log") for number in range(count)]
        started = self.nodes[first:]
        for node in started:
            node.start()
        for node in started:
            await asyncio.to_thread(node.wait)
        return started

    async def start_serve(self, workers: int, **settings: Any) -> LiveServe:
        """`roomcast serve` with so many nodes on one port and a Valkey of its own; a load is told `on=[served]`."""
        values: dict[str, Any] = {"connects_per_second_per_address": None, "drain_seconds": 1} | settings
        chosen = Settings(data_dir=self.folder / "data", workers=workers, **values)
        await self._prepare(chosen)
        served = await asyncio.to_thread(LiveServe, chosen, self._logs / "serve.log")
        self.ending.callback(served.stop)
        return served

    async def _prepare(self, settings: Settings) -> None:
        if not settings.data_dir.exists():
            await asyncio.to_thread(prepare_database, settings)
            self.storage = await open_storage(settings)
            self.ending.push_async_callback(self.storage.close)

    async def restart(self, node: LiveNode) -> None:
        """Start a node again that was killed or has ended, on its port; back when it serves."""
        await asyncio.to_thread(lambda: node.start().wait())

    async def replace(self, node: LiveNode) -> None:
        """SIGTERM, its end in good order, its successor on the same port; back when that serves."""
        node.terminate()
        if (code := await asyncio.to_thread(node.ended)) != 0:
            self.complain("client", f"a node that was told to end did so with {code}")
        await self.restart(node)

    async def healed(self, within_seconds: float = 20) -> None:
        """Back when every node is ready, everybody is in all their rooms, and presence is true; complains else.

        Presence counts from the fault's end, that is from this call: `within_seconds` is at most 10 for it.
        """
        within_seconds *= self.patience
        for node in self.nodes:
            try:
                await node.becomes(200, within_seconds)
            except AssertionError as error:
                self.complain("recovery", f"{node.address} was not ready within {within_seconds} s: {error}")
        for load in self._loads:
            await load.presence_is_right(min(within_seconds, 10 * self.patience))

    # Clients

    async def make_tenants(self, count: int, **limits: int | None) -> list[Tenant]:
        """So many more, without rates; their rooms keep KEPT_MESSAGES. Also appended to `tenants`.

        A row that needs other rooms puts a room type of a longer pattern: `await tenant.room_type(name, pattern=…)`.
        """
        unlimited: dict[str, Any] = {"max_connections_per_user": None}
        made = [
            await make_tenant(self.storage, f"t{len(self.tenants) + number}", **(unlimited | limits))
            for number in range(count)
        ]
        for tenant in made:
            await tenant.room_type("kept", pattern="*", history_messages=KEPT_MESSAGES)
        self.tenants += made
        return made

    def load(self, *, on: Sequence[Served] | None = None, **shape: Any) -> Load:
        """Publishers, subscribers and watchers of all `tenants` on all `nodes`: `async with run.load(…) as load`.

        on: other nodes, or what stands before them. shape: as of `Load`. Within the block they talk. At its end
        publishing stops, everybody has 15 s to come to the rooms' heads, histories and presence are read into the log,
        and the sockets close.
        """
        load = Load(
            self.tenants, self.nodes if on is None else on, self.log, self.chance, patience=self.patience, **shape
        )
        self._loads.append(load)
        return load

    # What came of it

    def recovered(self, seconds: float, *, within_seconds: float) -> None:
        """Note how long publishing took to come back; complain if it took too long."""
        self._recovery_seconds.append(seconds)
        if seconds > within_seconds * self.patience:
            self.complain("recovery", f"publishing again after {seconds:.2f} s, not {within_seconds} s")

    @contextmanager
    def losing_data(self) -> Iterator[None]:
        """Take data away within this, and be out of it before Redis is served again: the epochs so far have ended."""
        epochs = epochs_of(self.log)
        yield
        self.log.append(DataLost(epochs))

    async def compare_usage(self) -> None:
        """End all nodes in good order, and put what they counted into SQL beside what was acknowledged.

        For rounds in which no node was killed, since that takes its last counts along, and no answer was cut off.
        """
        await self._stop_nodes()
        started = {record.key: record.room for record in self.log if isinstance(record, Started)}
        acknowledged = {record.key: record.room for record in self.log if isinstance(record, Acknowledged)}
        for tenant in self.tenants:
            prefix = room_of(tenant, "")
            least, most = (sum(room.startswith(prefix) for room in of.values()) for of in (acknowledged, started))
            points = await self.storage.usage.read(tenant.id, 0, 2**50, "day")
            served = sum(point.messages_in.websocket for point in points)
            self.log.append(Counter(f"messages of {tenant.name}", served, least, most))

    async def _stop_nodes(self) -> None:
        await asyncio.gather(*[asyncio.to_thread(node.stop) for node in self.nodes])

    def complain(self, kind: Kind, text: str) -> None:
        """A bound of the row's own that did not hold."""
        self._broken.append(Broken("row", kind, text))

    def outcome(self, *, times: int | None = None, kept_messages: int = KEPT_MESSAGES, **figures: float) -> Outcome:
        """The round's, after its loads have ended: runs the checker. times: if not those that were asked for."""
        for load in self._loads:
            self._broken += [Broken("row", "client", text) for text in load.complaints]
        if self._loads and not any(load.acknowledged for load in self._loads):
            self.complain("client", "nothing was acknowledged in the whole round")
        self._broken += check(self.log, kept_messages)
        self._broken += [Broken("A8", "foreign", line) for line in leaks(sorted(self._logs.iterdir()))]
        slowest = max((load.slowest_publish_seconds for load in self._loads), default=0)
        return Outcome(
            times=self.times if times is None else times,
            broken=self._broken,
            acknowledged=sum(load.acknowledged for load in self._loads),
            deliveries=sum(load.deliveries for load in self._loads),
            longest_gap_seconds=max((load.longest_gap_seconds for load in self._loads), default=0),
            recovery_seconds=self._recovery_seconds,
            figures={"slowest_publish_seconds": slowest, **figures},
        )

    async def end(self) -> None:
        """All nodes, then what else was started. The harness calls it."""
        try:
            await self._stop_nodes()
        finally:
            await self.ending.aclose()


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table.

    fault: what is done, in a few words. done_when: what has to hold, as the issue says. full_times: faults of the whole
    marathon, round_times: of one round of it, at most some minutes; short_times: of the round in CI, at most 15 s.
    """

    name: str
    fault: str
    done_when: str
    full_times: int
    round_times: int
    short_times: int
    run: Callable[[Run], Awaitable[Outcome]]
