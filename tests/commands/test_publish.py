import time

import pytest

from service.protocol.events import ErrorEvent, Message, Published, Sender
from tests.support.fixtures import Connect, NewTenant
from tests.support.live_server import LiveNode
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant

pytestmark = pytest.mark.anyio


async def test_a_message_reaches_the_members_with_all_its_fields(connect: Connect, binary: bool) -> None:
    alice, bob = await connect("alice"), await connect("bob", binary=binary)
    await bob.joins("chat")
    data = {"text": "hällo \u0000 \U0001f600", "n": [1, -(2**63), 2**64 - 1, 1.5, None, True], "": {}}
    published = await alice.publishes("chat", data, name="greeting")
    message = await bob.expects(Message, room="chat", offset=1, name="greeting", data=data)
    assert message.from_ == Sender(user="alice", connection=alice.welcome.connection)
    assert abs(message.time_ms - time.time() * 1000) < 5_000
    assert published.position is not None
    assert published.position.endswith(":1")
    assert not published.duplicate


async def test_json_travels_byte_for_byte(connect: Connect, binary: bool) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    await bob.joins("chat")
    data = b'{ "a":1.0e2,  "a" : 2, "b":"\\u00e4/\\/" }'
    await alice.sends_payload(b'{"type":"publish","room":"chat","data":' + data + b"}")
    message = await bob.expects(Message)
    assert bytes(message.data) == data
    reader = await connect("reader", binary=binary)
    page = await reader.history("chat")
    assert reader.value(page.messages[0].data)["b"] == "ä//"


async def test_messagepack_is_transcoded_both_ways(connect: Connect) -> None:
    alice, bob, carol = await connect("alice", binary=True), await connect("bob", binary=True), await connect("carol")
    for listener in (bob, carol):
        await listener.joins("chat")
    await alice.publishes("chat", {"a": [1, "ä", 1.5, None]})
    assert bytes((await carol.expects(Message)).data) == '{"a":[1,"ä",1.5,null]}'.encode()
    await bob.expects(Message, data={"a": [1, "ä", 1.5, None]})


async def test_publishing_needs_the_right_and_no_membership(connect: Connect) -> None:
    alice = await connect("alice", claims={"rooms": {"chat": ["publish"]}})
    await alice.publishes("chat")
    assert (await alice.refused("forbidden", "publish", room="other", data=1)).room == "other"
    await alice.refused("forbidden", "join", room="chat")


async def test_own_messages_come_only_with_echo_and_right_before_published(connect: Connect, binary: bool) -> None:
    alice = await connect("alice", binary=binary)
    await alice.joins("chat")
    assert (await alice.publishes("chat", "silent")).position is not None
    await alice.sends("publish", room="chat", data="loud", echo=True, id="x")
    await alice.expects(Message, data="loud", offset=2, from_=Sender(user="alice", connection=alice.welcome.connection))
    await alice.expects(Published, id="x", duplicate=False)
    await alice.sends("publish", room="chat", data="loud, without id", echo=True)
    await alice.expects(Message, data="loud, without id", offset=3)
    await alice.sends("publish", room="chat", data="silent, without id")
    await alice.hears_nothing()


async def test_another_connection_of_the_same_user_gets_the_message(connect: Connect) -> None:
    phone, laptop = await connect("alice"), await connect("alice")
    await laptop.joins("chat")
    await phone.publishes("chat", 1)
    await laptop.expects(Message, data=1)


@pytest.mark.provokes("error:too_large", "limit:max_message_bytes")
async def test_data_over_the_limit_is_too_large_and_at_the_limit_is_not(
    connect: Connect, new_tenant: NewTenant, binary: bool
) -> None:
    tenant = await new_tenant(max_message_bytes=100)
    alice, bob = await connect("alice", tenant=tenant, binary=binary), await connect("bob", tenant=tenant)
    await bob.joins("chat")
    await alice.publishes("chat", "x" * 98)
    error = await alice.refused("too_large", "publish", room="chat", data="x" * 99)
    assert (error.limit, error.room) == ("max_message_bytes", "chat")
    assert (await alice.refused("too_large", "send", user="bob", data="x" * 99)).scope == "tenant"
    await alice.joins("chat")
    await alice.refused("too_large", "signal", room="chat", data="x" * 99)
    await bob.expects(Message, data="x" * 98)
    await bob.hears_nothing()


async def test_a_publish_over_http_comes_from_the_user_without_connection(
    connect: Connect, node: LiveNode, tenant: Tenant
) -> None:
    bob = await connect("bob")
    await bob.joins("chat")
    async with Rest(node.address, tenant.token("alice")) as http:
        answer = await http.command("publish", room="chat", data=[1], name="n")
    assert answer["position"].endswith(":1")
    assert answer["duplicate"] is False
    await bob.expects(Message, data=[1], name="n", from_=Sender(user="alice", connection=None))


async def test_over_http_only_rights_count_and_only_five_commands_are_served(node: LiveNode, tenant: Tenant) -> None:
    async with Rest(node.address, tenant.token("alice", rooms={"chat": ["history"]}, send=None)) as http:
        await http.command("history", room="chat")
        for command in (
            {"type": "publish", "room": "chat", "data": 1},
            {"type": "history", "room": "other"},
            {"type": "send", "user": "bob", "data": 1},
            {"type": "members", "room": "chat"},
        ):
            await http.refused(403, "forbidden", "POST", "/v1/commands", command)
        for command in (
            {"type": "join", "room": "chat"},
            {"type": "leave", "room": "chat"},
            {"type": "signal", "room": "chat", "data": 1},
            {"type": "set_state", "room": "chat", "state": 1},
            {"type": "authenticate", "token": "x"},
        ):
            problem = await http.refused(400, "invalid", "POST", "/v1/commands", command)
            assert problem["path"] == "$.type"
        await http.refused(400, "unknown_command", "POST", "/v1/commands", {"type": "dance"})


@pytest.mark.provokes("limit:publishes_per_second", "error:rate_limited")
async def test_the_tenants_publishes_have_a_rate(connect: Connect, new_tenant: NewTenant) -> None:
    tenant = await new_tenant(publishes_per_second=10)  # an even share of it on each of two nodes
    alice = await connect("alice", tenant=tenant)
    for number in range(30):
        await alice.sends("publish", room="chat", data=number, id=number)
    answers = [await alice.next() for _ in range(30)]
    errors = [answer for answer in answers if isinstance(answer, ErrorEvent)]
    assert 20 <= len(errors) <= 27
    for error in errors:
        assert (error.code, error.limit, error.scope) == ("rate_limited", "publishes_per_second", "tenant")
        assert isinstance(error.retry_after_ms, int)
        assert 1 <= error.retry_after_ms <= 1000
    ids = [answer.id for answer in answers if isinstance(answer, Published | ErrorEvent)]
    assert ids == list(range(30))


@pytest.mark.provokes("limit:deliveries_per_second")
async def test_a_publish_costs_as_many_deliveries_as_the_room_has_members(
    connect: Connect, new_tenant: NewTenant
) -> None:
    tenant = await new_tenant(deliveries_per_second=20)
    members = [await connect("alice", tenant=tenant) for _ in range(5)]
    for member in members:
        await member.joins("chat")
    for number in range(6):
        await members[0].sends("publish", room="chat", data=number, id=number)
    answers = [await members[0].next() for _ in range(6)]
    stored = [answer for answer in answers if isinstance(answer, Published)]
    errors = [answer for answer in answers if isinstance(answer, ErrorEvent)]
    # half of the rate; a third beside a node that ended just before; all, while the nodes don't know of each other yet
    assert 1 <= len(stored) <= 4
    assert {(error.code, error.limit) for error in errors} == {("rate_limited", "deliveries_per_second")}
    for member in members[1:]:
        for _ in stored:
            await member.expects(Message)
        await member.hears_nothing()


async def test_publishes_without_id_keep_their_place_among_all_others(connect: Connect, binary: bool) -> None:
    alice, bob = await connect("alice", binary=binary), await connect("bob")
    await bob.joins("chat")
    for number in range(0, 30, 3):
        await alice.sends("publish", room="chat", data=number)
        await alice.sends("publish", room="chat", data=number + 1, id=number)
        await alice.sends("publish", room="chat", data=number + 2, key=f"k{number}")
    assert [(await bob.expects(Message)).offset for _ in range(30)] == list(range(1, 31))
    page = await bob.history("chat")
    assert [bob.value(message.data) for message in page.messages] == list(range(30))
    for number in range(0, 30, 3):
        answer = await alice.expects(Published, id=number)
        assert answer.position is not None
        assert answer.position.endswith(f":{number + 2}")


async def test_a_publish_without_id_is_in_the_join_or_history_that_follows_it(connect: Connect) -> None:
    alice = await connect("alice")
    await alice.sends("publish", room="chat", data=1)
    joined = await alice.joins("chat")
    assert joined.position is not None
    assert joined.position.endswith(":1")
    await alice.sends("publish", room="other", data=1)
    assert len((await alice.history("other")).messages) == 1


async def test_a_refusal_of_a_publish_without_id_is_told(connect: Connect) -> None:
    alice = await connect("alice", claims={"rooms": {"chat": ["publish"]}})
    await alice.sends("publish", room="other", data=1)
    await alice.expects(ErrorEvent, code="forbidden", room="other")
    await alice.sends("publish", room="chat", data="x" * 70_000)
    await alice.expects(ErrorEvent, code="too_large", room="chat", limit="max_message_bytes")
