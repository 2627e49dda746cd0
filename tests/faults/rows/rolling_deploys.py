"""All nodes replaced one after the other, in good order, under load."""

from tests.faults.run import Outcome, Row, Run
from tests.support.records import Entered, Refused, Told


async def run(run: Run) -> Outcome:
    """SIGTERM, its end, its successor; node by node. Clients go as they are told, at most once per node."""
    valkey = run.start_valkey()
    await run.start_nodes(2 if run.is_short else 3, valkey.url, drain_seconds=1 if run.is_short else 5)
    await run.make_tenants(1 if run.is_short else 3)
    most = 0
    async with run.load(rooms=5, subscribers=20, watchers=2, messages_per_second=80 if run.is_short else 150) as load:
        for _ in range(run.times):
            before = {each.name: each.connects for each in load.everybody}
            for node in run.nodes:
                await run.replace(node)
                await node.becomes(200)
            await run.healed()
            run.recovered(await load.publishes_again(), within_seconds=2)
            most = max(most, *(each.connects - before[each.name] for each in load.everybody))
    await run.compare_usage()
    if most > len(run.nodes):
        run.complain("client", f"a client had to reconnect {most} times while {len(run.nodes)} nodes were replaced")
    for record in run.log:
        if isinstance(record, Refused) and record.code != "unavailable":
            run.complain("client", f"a publish was refused for good: {record}")
        if isinstance(record, Told) or (isinstance(record, Entered) and record.recovered is False):
            run.complain("lost", f"nothing was to be told of a loss: {record}")
    return run.outcome(reconnects_of_one_client_in_one_deploy=most)


ROW = Row(
    name="rolling_deploys",
    fault="each of 3 nodes replaced by SIGTERM, one after the other; 150 messages/s",
    done_when="0 lost, every publish done after the client's retries, ≤ 1 reconnect per client and node",
    full_times=20,
    round_times=4,
    short_times=1,
    run=run,
)
