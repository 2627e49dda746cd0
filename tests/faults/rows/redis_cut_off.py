"""A Redis that nodes can't reach, wholly, one way, or only with the connection on which messages come."""

import asyncio
from typing import Any, Final

from tests.faults.asker import Asker, ask_through, slowest
from tests.faults.proxy import Proxy
from tests.faults.run import Outcome, Row, Run

NODES: Final = 2
FAULT_SECONDS: Final = 3.0
SUBSCRIPTION_SECONDS: Final = 5.0  # in which a dead one is found, and replaced
# Which faults, and whether they leave the command connections alone.
WAYS: Final[list[tuple[dict[str, Any], bool]]] = [
    ({"dropped_messages": 1.0}, True),  # pings are answered: only a message of one's own shows it
    ({"freezes_to_server": True, "freezes_to_client": True}, False),
    ({"kinds": ("pubsub",), "freezes_to_client": True}, True),
    ({"refuses": True}, False),
    ({"freezes_to_client": True}, False),
    ({"kinds": ("pubsub",), "freezes_to_server": True}, True),
    ({"freezes_to_server": True}, False),
]


async def run(run: Run) -> Outcome:
    """Each way in turn, beginning with the hardest to find."""
    valkey = run.start_valkey()
    proxy = run.ending.enter_context(Proxy(valkey.url, seed=run.seed))
    await run.start_nodes(NODES, proxy.url)
    await run.make_tenants(1 if run.is_short else 2)
    found_seconds: list[float] = []

    async def cut_off(number: int, _: Asker) -> None:
        faults, is_subscription_only = WAYS[number % len(WAYS)]
        before = proxy.set(**faults).subscribers
        if faults.get("refuses"):
            proxy.cut()
        if is_subscription_only:
            found_seconds.append(await until_subscribed_again(proxy, before + NODES))
        else:
            await asyncio.sleep(FAULT_SECONDS)
        proxy.heal()

    askers = await ask_through(run, cut_off)
    if any(seconds > SUBSCRIPTION_SECONDS for seconds in found_seconds):
        run.complain("recovery", f"dead subscriptions were replaced after {found_seconds} s, not 5 s")
    return run.outcome(
        slowest_operation_seconds=slowest(askers),
        subscription_found_seconds=max(found_seconds, default=0),
    )


async def until_subscribed_again(proxy: Proxy, subscribers: int) -> float:
    """Seconds until so many connections have subscribed, or twice as long as is allowed."""
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    while proxy.counts().subscribers < subscribers and loop.time() < began_at + 2 * SUBSCRIPTION_SECONDS:
        await asyncio.sleep(0.02)
    return loop.time() - began_at


ROW = Row(
    name="redis_cut_off",
    fault="Redis cut off: silent, refusing, one way only, only its pub/sub connection, only its messages",
    done_when="an operation ends within 1.5 s; a dead subscription is found within 5 s; nothing lost",
    full_times=42,
    round_times=7,
    short_times=2,
    run=run,
)
