import pytest
from msgspec import UNSET

from service.protocol.events import Direct, Message, Sender, Sent, SignalEvent, Signalled
from tests.support.fixtures import Connect, NewTenant
from tests.support.live_server import LiveNode
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant

pytestmark = pytest.mark.anyio


async def test_a_signal_reaches_the_other_members_on_all_nodes_and_is_not_kept(
    connect: Connect, other_node: LiveNode, binary: bool
) -> None:
    alice, bob = await connect("alice", binary=binary), await connect("bob", binary=binary)
    far = await connect("carol", at=other_node)
    for client in (alice, bob, far):
        await client.joins("chat")
    await alice.asks(Signalled, "signal", room="chat", name="typing", data={"a": 1})
    sender = Sender(user="alice", connection=alice.welcome.connection)
    for client in (bob, far):
        await client.expects(SignalEvent, room="chat", name="typing", data={"a": 1}, from_=sender)
    page = await alice.history("chat")
    assert page.messages == []
    assert page.position is not None
    assert page.position.endswith(":0")


async def test_with_echo_the_sender_hears_its_signal_too(connect: Connect) -> None:
    alice = await connect()
    await alice.joins("chat")
    await alice.sends("signal", room="chat", data=1, echo=True)
    await alice.expects(SignalEvent, data=1)
    await alice.sends("signal", room="chat", data=2)
    await alice.asks(Signalled, "signal", room="chat", data=3)
    await alice.hears_nothing()


@pytest.mark.provokes("error:not_joined")
async def test_a_signal_needs_the_right_and_a_joined_room(connect: Connect, binary: bool) -> None:
    alice = await connect(claims={"rooms": {"chat": ["join", "signal"], "quiet": ["join"]}}, binary=binary)
    assert (await alice.refused("not_joined", "signal", room="chat", data=1)).room == "chat"
    await alice.joins("chat")
    await alice.asks(Signalled, "signal", room="chat", data=1)
    await alice.joins("quiet")
    await alice.refused("forbidden", "signal", room="quiet", data=1)


async def test_send_reaches_all_connections_of_the_user_on_all_nodes(
    connect: Connect, other_node: LiveNode, binary: bool
) -> None:
    alice = await connect("alice", binary=binary)
    near, far = await connect("bob", binary=binary), await connect("bob", at=other_node)
    await alice.asks(Sent, "send", user="bob", data=[1], name="note")
    for client in (near, far):
        await client.expects(
            Direct, data=[1], name="note", from_=Sender(user="alice", connection=alice.welcome.connection)
        )
    await alice.hears_nothing()


async def test_send_to_oneself_reaches_ones_own_connections_too(connect: Connect) -> None:
    phone, laptop = await connect("alice"), await connect("alice")
    await phone.sends("send", user="alice", data=1)
    await phone.expects(Direct, data=1)
    await laptop.expects(Direct, data=1)


async def test_send_to_nobody_is_no_error(connect: Connect) -> None:
    alice = await connect()
    assert (await alice.asks(Sent, "send", user="nobody there", data=1)).user == "nobody there"


async def test_send_needs_the_claim(connect: Connect, node: LiveNode, tenant: Tenant) -> None:
    alice = await connect(claims={"send": None})
    await alice.refused("forbidden", "send", user="bob", data=1)
    bob = await connect("bob")
    async with Rest(node.address, tenant.token("alice")) as http:
        assert await http.command("send", user="bob", data=1) == {"type": "sent", "user": "bob"}
    await bob.expects(Direct, data=1, from_=Sender(user="alice"))


async def test_signals_work_in_rooms_without_history(connect: Connect, new_tenant: NewTenant) -> None:
    tenant = await new_tenant(max_history_messages=0)
    alice, bob = await connect("alice", tenant=tenant), await connect("bob", tenant=tenant)
    for client in (alice, bob):
        await client.joins("chat")
    await alice.asks(Signalled, "signal", room="chat", data=1)
    await bob.expects(SignalEvent, data=1)
    assert (await alice.publishes("chat", 2)).position is None
    await bob.expects(Message, data=2, offset=UNSET)
