"""Why sockets are closed: each close code, and the `closing` that comes first."""

import asyncio
import time
from struct import pack

import pytest

from service.protocol.events import Closing, ErrorEvent, Joined, Message
from service.tenants.audit import OPERATOR
from tests.support.fixtures import Cluster, Connect, NewTenant
from tests.support.frames import masked_frame
from tests.support.live_server import LiveNode
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant
from tests.support.wire_client import BINARY, CLOSE, TEXT, Client, Refused, handshake

pytestmark = pytest.mark.anyio


@pytest.mark.provokes("close:1000")
async def test_a_clients_close_is_answered_with_its_code(connect: Connect) -> None:
    for code in (1000, 1001, 4999):
        alice = await connect()
        await alice.sends_bytes(masked_frame(pack("!H", code), CLOSE))
        assert await alice.is_closed_with(code) is None


@pytest.mark.parametrize(
    ("code", "bytes_sent"),
    [
        pytest.param(1002, b"\x81\x02{}", id="unmasked"),
        pytest.param(1002, masked_frame(b"{}", 0x41), id="reserved bit"),
        pytest.param(1002, masked_frame(b"{}", 3), id="unknown opcode"),
        pytest.param(1002, masked_frame(b"x" * 126, 9), id="long ping"),
        pytest.param(1002, masked_frame(b"{}", 0), id="continuation of nothing"),
        pytest.param(1007, masked_frame(b'{"type":"ping","id":"\xff"}', TEXT), id="bad UTF-8"),
        pytest.param(1009, masked_frame(b" " * 73_729, TEXT), id="over max_frame_bytes"),
        pytest.param(1009, b"\x81\xff" + pack("!Q", 2**63 - 1) + b"mask", id="claims 2^63 - 1 bytes"),
        pytest.param(1002, b"\x81\xff" + pack("!Q", 2**63) + b"mask", id="claims 2^63 bytes"),
        pytest.param(
            1009, masked_frame(b"", TEXT, is_final=False) + masked_frame(b"", 0, is_final=False) * 64, id="fragments"
        ),
    ],
)
@pytest.mark.provokes("close:1002", "close:1003", "close:1007", "close:1009", "limit:max_frame_bytes")
async def test_broken_frames_close_their_own_socket_alone(connect: Connect, code: int, bytes_sent: bytes) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    await bob.joins("chat")
    await alice.joins("chat")
    await alice.sends_bytes(bytes_sent)
    assert await alice.is_closed_with(code) is None  # the close frame comes alone
    await bob.publishes("chat")
    await bob.hears_nothing()


async def test_the_other_kind_of_frame_is_1003(connect: Connect, binary: bool) -> None:
    alice = await connect(binary=binary)
    await alice.sends_bytes(masked_frame(b"{}", TEXT if binary else BINARY))
    assert await alice.is_closed_with(1003) is None


@pytest.mark.provokes("close:1008", "error:malformed", "error:invalid", "error:unknown_command")
async def test_a_hundred_bad_commands_are_forgiven_and_no_more(connect: Connect, binary: bool) -> None:
    alice = await connect(binary=binary)
    bad = [{"type": "dance"}, {"type": "join"}, {"type": "join", "room": "chat\n"}, []]
    for number in range(99):
        await alice.sends_value(bad[number % 4])
    await alice.sends_payload(b"\xc1" if binary else b"{")
    codes = [event.code for _ in range(100) if isinstance(event := await alice.next(), ErrorEvent)]
    assert codes == [*(["unknown_command", "invalid", "invalid", "invalid"] * 25)[:99], "malformed"]
    for _ in range(20):
        await alice.refused("not_joined", "signal", room="chat", data=1)  # other errors don't count
    await alice.sends_value({"type": "dance"})
    await alice.expects(ErrorEvent, code="unknown_command")
    closing = await alice.is_closed_with(1008)
    assert closing is not None
    assert not closing.reconnect


@pytest.mark.provokes("close:4409")
async def test_the_tenants_server_disconnects_a_user_and_a_connection(
    connect: Connect, other_node: LiveNode, rest: Rest
) -> None:
    for query, reconnect in (("", False), ("?reconnect=false", False), ("?reconnect=true", True)):
        clients = [await connect("bob"), await connect("bob", at=other_node, binary=True)]
        alice = await connect("alice")
        assert (await rest.ask("DELETE", f"/v1/users/bob/connections{query}")).status_code == 202
        for client in clients:
            closing = await client.is_closed_with(4409)
            assert closing is not None
            assert closing.reconnect is reconnect
        await alice.hears_nothing()
    one, two = await connect("bob", at=other_node), await connect("bob")
    path = f"/v1/connections/{one.welcome.connection}"
    assert (await rest.ask("DELETE", path)).status_code == 202
    closing = await one.is_closed_with(4409)
    assert closing is not None
    assert not closing.reconnect
    await two.hears_nothing()
    await rest.refused(404, "not_found", "DELETE", path)


@pytest.mark.provokes("close:4408")
async def test_a_peer_without_a_sign_of_life_is_closed(connect: Connect, cluster: Cluster) -> None:
    hasty = cluster.start_node(ping_interval_seconds=0.6, pong_timeout_seconds=0.5).wait()
    lively, dead = await connect("alice", at=hasty), await connect("bob", at=hasty)
    dead.answers_pings = False

    async def lives() -> None:
        with pytest.raises(TimeoutError):
            await lively.next(4)

    living = asyncio.create_task(lives())
    closing = await dead.is_closed_with(4408)
    assert closing is not None
    assert closing.reconnect
    await living
    await lively.hears_nothing()
    hasty.kill()


@pytest.mark.provokes("close:4450")
async def test_a_slow_reader_is_closed_and_loses_nothing_by_since(connect: Connect, new_tenant: NewTenant) -> None:
    tenant = await new_tenant()
    slow = await connect("slow", tenant=tenant, receive_buffer_bytes=16_384)
    bystander = await connect("bystander", tenant=tenant)
    for client in (slow, bystander):
        await client.joins("chat")
    slow.stops_reading()
    alice = await connect("alice", tenant=tenant)
    for number in range(60):
        await alice.publishes("chat", {"n": number, "x": "x" * 60_000})
        await bystander.expects(Message, offset=number + 1)
    slow.reads_again()
    last = 0
    while isinstance(event := await slow.next(), Message):
        last += 1
        assert event.offset == last
    assert isinstance(event, Closing)
    assert (event.code, event.reconnect) == (4450, True)
    await slow.is_closed_with(4450)
    epoch = str((await bystander.history("chat", limit=1)).position).partition(":")[0]
    again = await connect("slow", tenant=tenant)
    await again.sends("join", room="chat", since=f"{epoch}:{last}", id=1)
    assert (await again.expects(Joined)).recovered
    for offset in range(last + 1, 61):
        await again.expects(Message, offset=offset)


async def test_a_deleted_tenants_sockets_close_within_2_s(
    connect: Connect, node: LiveNode, other_node: LiveNode, tenant: Tenant
) -> None:
    clients = [await connect(), await connect("bob", at=other_node, binary=True)]
    token = tenant.token()
    started = time.monotonic()
    await tenant.storage.tenants.delete(OPERATOR, tenant.name)
    for client in clients:
        closing = await client.is_closed_with(4403)
        assert closing is not None
        assert not closing.reconnect
    assert time.monotonic() - started < 2
    with pytest.raises(Refused) as refused:
        await handshake(node.address, token)
    assert refused.value.status == 401


async def test_a_revoked_signing_key_closes_its_sockets_and_no_others_within_2_s(
    connect: Connect, node: LiveNode, other_node: LiveNode, tenant: Tenant
) -> None:
    key, secret = await tenant.storage.keys.create_signing_key(OPERATOR, tenant.id, "HS256")
    assert secret is not None
    newer = tenant._replace(kid=key.kid, secret=secret)
    old = [await connect("alice"), await connect("bob", at=other_node)]
    await until_known(node, newer)
    stays = await connect("carol", token=newer.token("carol"))
    started = time.monotonic()
    await tenant.storage.keys.revoke_signing_key(OPERATOR, tenant.id, tenant.kid)
    for client in old:
        closing = await client.is_closed_with(4401)
        assert closing is not None
        assert closing.reconnect
    assert time.monotonic() - started < 2
    await stays.hears_nothing()
    with pytest.raises(Refused) as refused:
        await handshake(node.address, tenant.token())
    assert refused.value.status == 401


async def until_known(node: LiveNode, tenant: Tenant) -> None:
    """Until the node takes tokens under the tenant's newest key: within 2 s."""
    deadline = time.monotonic() + 2
    while True:
        try:
            await (await Client.open(node.address, tenant.token("probe"))).close()
            return
        except Refused:
            assert time.monotonic() < deadline
