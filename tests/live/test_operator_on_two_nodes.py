"""What the operator changes at one node holds at the other: at once where it asks, within 2 s for everybody."""

import time
from typing import Any

import pytest

from service.protocol.events import Message
from tests.support.canaries import keep_secret
from tests.support.fixtures import Connect
from tests.support.live_server import LiveNode
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant

pytestmark = pytest.mark.anyio


async def made(operator: Rest, name: str) -> Any:
    answer = await operator.ask("POST", "/v1/tenants", {"name": name})
    assert answer.status_code == 201, answer.text
    keep_secret(answer.json()["api_key"])
    return answer.json()


async def until(status: int, rest: Rest, path: str) -> float:
    """Seconds until a GET is answered with `status`."""
    started = time.monotonic()
    while (answer := await rest.ask("GET", path)).status_code != status:
        assert time.monotonic() - started < 2, answer.text
    return time.monotonic() - started


async def test_what_is_made_at_one_node_is_there_at_the_other(
    operator_token: str, node: LiveNode, other_node: LiveNode
) -> None:
    async with Rest(node.address, operator_token) as here, Rest(other_node.address, operator_token) as there:
        for _ in range(3):  # again under the name: never the tenant of before
            tenant = await made(here, "two-nodes")
            assert await there.get("/v1/tenants/two-nodes/rooms") == {"items": [], "next_cursor": None}
            key = (await there.ask("POST", "/v1/tenants/two-nodes/keys", {"scopes": ["read"]})).json()
            keep_secret(key["api_key"])
            assert len((await here.get("/v1/tenants/two-nodes/keys"))["items"]) == 2
            for address in (node.address, other_node.address):
                for text in (tenant["api_key"], key["api_key"]):
                    async with Rest(address, text) as rest:
                        await until(200, rest, "/v1/counts")
            assert (await there.ask("PUT", "/v1/tenants/two-nodes/room-types/a", {})).status_code == 201
            assert (await here.get("/v1/tenants/two-nodes/room-types/a"))["pattern"] == "a"
            assert (await there.ask("DELETE", "/v1/tenants/two-nodes")).status_code == 202
            async with Rest(node.address, tenant["api_key"]) as rest:
                await until(401, rest, "/v1/counts")


async def test_a_key_that_is_revoked_at_one_node_is_refused_at_both(
    operator_token: str, node: LiveNode, other_node: LiveNode, tenant: Tenant, connect: Connect
) -> None:
    near, far = await connect(), await connect("bob", at=other_node)
    for client in (near, far):
        await client.joins("chat")
    async with Rest(other_node.address, tenant.api_key) as manager:
        key = (await manager.ask("POST", "/v1/keys", {"scopes": ["read"]})).json()
        async with Rest(node.address, keep_secret(key["api_key"])) as reader:
            await until(200, reader, "/v1/counts")
            assert (await manager.ask("DELETE", f"/v1/keys/{key['key_id']}")).status_code == 204
            await until(401, reader, "/v1/counts")
    await near.publishes("chat", "nobody else noticed")
    await far.expects(Message, data="nobody else noticed")
