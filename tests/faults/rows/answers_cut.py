"""Answers to publishes that never arrive, cut between Redis and the node and between the node and the client.

Each message goes out again with its key, over another node and the other edge, until an answer comes: it is there once.
"""

import asyncio
import random
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from service.brokers import scripts
from service.protocol.events import ErrorEvent, Published, WebSocketEvent
from tests.faults.proxy import Proxy
from tests.faults.run import Outcome, Row, Run
from tests.support.conversation import Served, place_of, room_of
from tests.support.records import Acknowledged, Kept, Record, Refused, Started
from tests.support.tenants import Tenant
from tests.support.wire_client import Client, Closed
from tests.support.wire_client import Refused as RefusedHandshake

ROOMS: Final = 30
PUBLISHERS: Final = 60  # at once; so many answers are cut at most when a connection to Redis ends
ROOMS_IN_CI: Final = 5
PUBLISHERS_IN_CI: Final = 20
CUT_AT_THE_CLIENT: Final = 0.32
CUT_AT_REDIS: Final = 0.004  # and with it all that are on their way on that connection
DROP_WITHIN_SECONDS: Final = 0.01  # of sending: before, while and after the node works on it
PATIENCE_SECONDS: Final = 5.0
PAUSE_SECONDS: Final = 0.05  # after a refusal
LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class AnswerCut(Exception):
    """Nobody will ever hear what became of it."""


class Publisher:
    """One user, with a socket and an HTTP connection to each node; its messages go to one room, one after the other.

    attempts, cut: how often it published, and how many of the answers it did not get.
    """

    def __init__(self, name: str, tenant: Tenant, room: str, nodes: list[Served], log: list[Record], seed: str) -> None:
        self.name = name
        self._tenant = tenant
        self._token = tenant.token(name)
        self._room = room
        self._nodes = nodes
        self._log = log
        self._chance = random.Random(seed)
        self._sockets: dict[str, Client] = {}
        self._callers: dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
        self.attempts = self.cut = 0

    async def publish(self, key: str) -> None:
        """Until it is acknowledged, each time elsewhere."""
        turn = self._chance.randrange(6)
        while True:
            node, over = self._nodes[turn % 3].address, (self._over_socket, self._over_http)[turn % 2]
            turn += 1
            self.attempts += 1
            self._log.append(Started(self.name, room_of(self._tenant, self._room), key))
            command = {"type": "publish", "room": self._room, "data": {"key": key}, "key": key, "id": key}
            try:
                event = await over(node, command)
            except AnswerCut:
                self.cut += 1
                continue
            except (Closed, RefusedHandshake, OSError, asyncio.IncompleteReadError):
                self.leave(node)
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            if isinstance(event, Published):
                where = room_of(self._tenant, self._room)
                self._log.append(Acknowledged(self.name, where, key, place_of(event.position)))
                return
            self._note_refusal(event, key)
            await asyncio.sleep(PAUSE_SECONDS)

    def _note_refusal(self, event: WebSocketEvent, key: str) -> None:
        assert isinstance(event, ErrorEvent), event
        self.cut += "unknown" in event.message
        self._log.append(Refused(self.name, room_of(self._tenant, self._room), key, event.code))

    async def _over_socket(self, node: str, command: Mapping[str, object]) -> WebSocketEvent:
        if node not in self._sockets:
            self._sockets[node] = await Client.open(node, self._token)
        client = self._sockets[node]
        await client.sends_value(command)
        await self._perhaps_cut(node)
        event = await client.next(PATIENCE_SECONDS)
        while getattr(event, "id", None) != command["id"]:
            event = await client.next(PATIENCE_SECONDS)
        return event

    async def _over_http(self, node: str, command: Mapping[str, object]) -> WebSocketEvent:
        if node not in self._callers:
            host, _, port = node.removeprefix("http://").partition(":")
            self._callers[node] = await asyncio.open_connection(host, int(port))
        reader, writer = self._callers[node]
        body = msgspec.json.encode(command)
        head = f"Authorization: Bearer {self._token}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        writer.write(f"POST /v1/commands HTTP/1.1\r\nHost: test\r\n{head}\r\n\r\n".encode() + body)
        await self._perhaps_cut(node)
        async with asyncio.timeout(PATIENCE_SECONDS):
            answered = await reader.readuntil(b"\r\n\r\n")
            length = LENGTH.search(answered)
            assert length is not None, answered
            body = await reader.readexactly(int(length[1]))
        if answered.split(b" ", 2)[1] == b"200":
            return msgspec.json.decode(body, type=Published)
        problem = msgspec.json.decode(body)
        code = problem["type"].rpartition(":")[2]
        return ErrorEvent(code=code, message=problem["detail"], room=self._room, id=str(command["id"]))

    async def _perhaps_cut(self, node: str) -> None:
        if self._chance.random() < CUT_AT_THE_CLIENT:
            await asyncio.sleep(self._chance.uniform(0, DROP_WITHIN_SECONDS))
            self.leave(node)
            raise AnswerCut

    def leave(self, node: str) -> None:
        """Drop what leads to this node."""
        if node in self._sockets:
            self._sockets.pop(node).drop()
        if node in self._callers:
            _, writer = self._callers.pop(node)
            writer.transport.abort()  # not in one expression: the writer would be gone before, and complain

    async def close(self) -> None:
        """The end of all its connections."""
        for client in self._sockets.values():
            await client.close()
        for _, writer in self._callers.values():
            writer.close()


async def run(run: Run) -> Outcome:
    """`times` messages, shared out among the publishers."""
    valkey = run.start_valkey()
    proxy = run.ending.enter_context(Proxy(valkey.url, seed=run.seed))
    await run.start_nodes(3, proxy.url)
    [tenant] = await run.make_tenants(1)
    todo = iter(range(run.times))

    async def work(publisher: Publisher) -> None:
        for number in todo:
            await publisher.publish(f"{publisher.name}/{number}")

    rooms, count = (ROOMS_IN_CI, PUBLISHERS_IN_CI) if run.is_short else (ROOMS, PUBLISHERS)
    async with run.load(rooms=rooms, publishers_per_room=1, messages_per_second=10, rooms_per_subscriber=rooms) as load:
        publishers = [
            Publisher(
                f"many-{number}", tenant, load.rooms[number % rooms], list(run.nodes), run.log, f"{run.seed} {number}"
            )
            for number in range(count)
        ]
        proxy.set(lost_replies=CUT_AT_REDIS, lost_replies_of=scripts.PUBLISH.digest)
        await asyncio.gather(*map(work, publishers))
        cut_at_redis = proxy.heal().cut_replies
        for publisher in publishers:
            await publisher.close()
    kept = [record for record in run.log if isinstance(record, Kept)]
    wanted = run.times + load.acknowledged
    if len(kept) != wanted or len({record.key for record in kept}) != wanted:
        run.complain("doubled", f"{len(kept)} messages are there, not {wanted}")
    attempts, cut = (sum(getattr(each, name) for each in publishers) for name in ("attempts", "cut"))
    return run.outcome(attempts=attempts, cut_share=cut / attempts, cut_at_redis=cut_at_redis)


ROW = Row(
    name="answers_cut",
    fault="30 % of the answers to publishes cut, at Redis and at the client, over three nodes and both edges",
    done_when="after retries with the same key each of 100,000 messages is there once",
    full_times=100_000,
    round_times=20_000,
    short_times=500,
    run=run,
)
