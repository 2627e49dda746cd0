import time

import pytest

from service.protocol.events import Pong
from tests.support.fixtures import Connect
from tests.support.live_server import LiveNode
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant

pytestmark = pytest.mark.anyio


async def test_a_ping_is_answered_with_the_servers_time(connect: Connect, binary: bool) -> None:
    alice = await connect(binary=binary)
    pong = await alice.asks(Pong, "ping")
    assert abs(pong.time_ms - time.time() * 1000) < 5_000


async def test_a_ping_without_id_is_not_answered(connect: Connect) -> None:
    alice = await connect()
    await alice.sends("ping")
    await alice.hears_nothing()


async def test_a_ping_over_http_is_answered_also_without_id(node: LiveNode, tenant: Tenant) -> None:
    async with Rest(node.address, tenant.token()) as rest:
        assert (await rest.command("ping")).keys() == {"type", "time_ms"}
        assert (await rest.command("ping", id="one"))["id"] == "one"
