"""Schemas over real sockets, on both nodes: what does not fit goes nowhere, in JSON and in MessagePack alike."""

import asyncio
import time

import pytest

from service.protocol.events import Message
from tests.support.fixtures import Cluster, Connect
from tests.support.room_types import Types

pytestmark = pytest.mark.anyio

TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


@pytest.mark.provokes("error:schema")
async def test_what_does_not_fit_is_heard_by_nobody_and_keeps_its_place_among_the_answers(
    connect: Connect, types: Types, binary: bool, cluster: Cluster
) -> None:
    await types.begin_with("chats", pattern="chat:*", messages={"said": TEXT})
    alice = await connect("alice", binary=binary, at=cluster.nodes[0])
    bob = await connect("bob", at=cluster.nodes[1])
    await bob.joins("chat:1")
    await alice.joins("chat:1")
    first = await alice.publishes("chat:1", {"text": "one"}, name="said")
    error = await alice.refused("schema", "publish", room="chat:1", name="said", data={"text": 2})
    assert (error.path, error.room) == ("$.data.text", "chat:1")
    second = await alice.publishes("chat:1", {"text": "three", "more": [1.0, True]}, name="said")
    assert first.position is not None
    assert second.position == first.position.replace(":1", ":2")
    await bob.expects(Message, offset=1, data={"text": "one"})
    await bob.expects(Message, offset=2, data={"text": "three", "more": [1.0, True]})


async def test_a_contract_reaches_the_other_node_within_two_seconds(connect: Connect, types: Types) -> None:
    here, there = types.servers
    for server in (here, there):
        await server.publish("chat:1", 1)
    body = {"room_types": {"chats": {"pattern": "chat:*", "messages": {"said": TEXT}}}}
    assert (await there.ask("PUT", "/v1/contract", body)).status_code == 200
    deadline = time.monotonic() + 2
    message = {"name": "said", "data": 5}
    while (await here.ask("POST", "/v1/rooms/chat:1/messages", message)).status_code != 422:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    refused = await there.refused(422, "schema", "POST", "/v1/rooms/chat:1/messages", message)
    assert refused["path"] == "$.data"
