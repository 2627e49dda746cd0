"""A tenant's server that publishes over REST through a fault, each message once: how long does an answer take?"""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Final

import httpx

from tests.faults.run import Run
from tests.support.conversation import Served
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant

PAUSE_SECONDS: Final = 0.1
# An operation ends within 1.5 s; the rest is HTTP, and a harness that shares two cores with all that it starts.
PATIENCE_SECONDS: Final = 1.5 + 0.25
PAGE: Final = 1_000


class Asker:
    """An async context: meanwhile it publishes ten messages a second at each node, to a room for each
    that begins with `name`.

    slowest_seconds: the slowest answer. stored: keys that were acknowledged, by room, in order; refused: those of which
    it was said that nothing was stored; unknown: those of which nothing was said.
    """

    def __init__(self, tenant: Tenant, nodes: Sequence[Served], name: str) -> None:
        self.slowest_seconds = 0.0
        self.stored: dict[str, list[str]] = {f"{name}-{number}": [] for number in range(len(nodes))}
        self.refused: set[str] = set()
        self.unknown: set[str] = set()
        self._tenant = tenant
        self._nodes = nodes
        self._tasks: list[asyncio.Task[None]] = []
        self._enough = False

    async def __aenter__(self) -> "Asker":
        pairs = zip(self._nodes, self.stored, strict=True)
        self._tasks = [asyncio.create_task(self._ask_on(node, room)) for node, room in pairs]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._enough = True
        await asyncio.gather(*self._tasks)

    async def _ask_on(self, node: Served, room: str) -> None:
        async with Rest(node.address, self._tenant.api_key) as rest:
            for number in itertools.count():
                await self._ask(rest, room, f"{room}/{number}")
                await asyncio.sleep(PAUSE_SECONDS)
                if self._enough:
                    return

    async def _ask(self, rest: Rest, room: str, key: str) -> None:
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        self.unknown.add(key)
        with contextlib.suppress(httpx.TransportError):
            answer = await rest.ask("POST", f"/v1/rooms/{room}/messages", {"data": {"key": key}})
            self.slowest_seconds = max(self.slowest_seconds, loop.time() - began_at)
            if answer.status_code == 201:
                self.stored[room].append(key)
                self.unknown.remove(key)
            elif "nothing was stored" in answer.json()["detail"]:
                self.refused.add(key)
                self.unknown.remove(key)

    async def judge(self, run: Run) -> None:
        """After the fault and the context: complain of what was slow, and of what is not in the history as was said."""
        if self.slowest_seconds > PATIENCE_SECONDS:
            run.complain("recovery", f"an operation took {self.slowest_seconds:.2f} s, not 1.5 s")
        for room, stored in self.stored.items():
            async with Rest(self._nodes[0].address, self._tenant.api_key) as rest:
                page = await rest.get(f"/v1/rooms/{room}/messages?limit={PAGE}")
            kept = [item["data"]["key"] for item in page["messages"]]
            offsets = [item["offset"] for item in page["messages"]]
            if offsets != list(range(1, len(kept) + 1)):
                run.complain("out of order", f"the offsets of {room} have holes: {offsets}")
            if [key for key in kept if key not in self.unknown] != stored:
                lost = set(stored) - set(kept)
                run.complain("lost" if lost else "doubled", f"{room} lacks {lost}, has {set(kept) - set(stored)} too")


async def ask_through(run: Run, fault: Callable[[int, Asker], Awaitable[None]], **shape: Any) -> list[Asker]:
    """Await `fault(number, asker)` as often as the run says, under load (its `shape` as of `Run.load`), each with
    an asker of its own; back are the askers, judged.

    `fault` does its fault and ends it; publishing has to be back within 2 s of that.
    """
    askers = []
    async with run.load(messages_per_second=50, **shape) as load:
        for number in range(run.times):
            async with Asker(run.tenants[0], run.nodes, f"ask-{number}") as asker:
                await fault(number, asker)
                run.recovered(await load.publishes_again(), within_seconds=2)
            askers.append(asker)
            await run.healed()
        for asker in askers:
            await asker.judge(run)
    return askers


def slowest(askers: Sequence[Asker]) -> float:
    """The slowest answer that any of them got, in seconds."""
    return max(asker.slowest_seconds for asker in askers)
