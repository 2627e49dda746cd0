import pytest

from service.protocol.events import HistoryEvent, Sender
from tests.support.fixtures import Connect, NewTenant
from tests.support.live_server import LiveNode
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant
from tests.support.wire_client import Client

pytestmark = pytest.mark.anyio


def numbers(client: Client, page: HistoryEvent) -> list[int]:
    return [client.value(message.data) for message in page.messages]


async def test_bounds_are_left_out_and_pages_ascend(connect: Connect, binary: bool) -> None:
    alice = await connect(binary=binary)
    at = {number: (await alice.publishes("chat", number)).position for number in range(1, 11)}

    page = await alice.history("chat")
    assert numbers(alice, page) == list(range(1, 11))
    assert [message.offset for message in page.messages] == list(range(1, 11))
    assert (page.position, page.more, page.complete) == (at[10], False, True)

    page = await alice.history("chat", limit=3)
    assert (numbers(alice, page), page.more, page.complete) == ([8, 9, 10], True, True)
    page = await alice.history("chat", before=at[8], limit=3)
    assert (numbers(alice, page), page.more) == ([5, 6, 7], True)
    page = await alice.history("chat", before=at[3], limit=3)
    assert (numbers(alice, page), page.more) == ([1, 2], False)

    page = await alice.history("chat", since=at[2], limit=3)
    assert (numbers(alice, page), page.more, page.complete) == ([3, 4, 5], True, True)
    page = await alice.history("chat", since=at[8], limit=3)
    assert (numbers(alice, page), page.more, page.complete) == ([9, 10], False, True)
    page = await alice.history("chat", since=at[2], before=at[5], limit=9)
    assert (numbers(alice, page), page.more, page.complete) == ([3, 4], False, True)
    page = await alice.history("chat", since=at[10])
    assert (numbers(alice, page), page.more, page.complete) == ([], False, True)


async def test_items_are_messages_without_type_and_room(connect: Connect) -> None:
    alice = await connect()
    await alice.publishes("chat", "x", name="n")
    await alice.sends("history", room="chat", id=1)
    page = await alice.expects(HistoryEvent)
    item = page.messages[0]
    sender = Sender(user="alice", connection=alice.welcome.connection)
    assert (item.offset, item.name, item.from_) == (1, "n", sender)


async def test_what_was_trimmed_or_belongs_to_another_epoch_is_incomplete(
    connect: Connect, new_tenant: NewTenant, node: LiveNode
) -> None:
    tenant = await new_tenant(max_history_messages=5)
    alice = await connect(tenant=tenant)
    async with Rest(node.address, tenant.api_key) as rest:
        messages = [{"room": "chat", "data": number} for number in range(1, 501)]
        results = (await rest.ask("POST", "/v1/messages", {"messages": messages})).json()["results"]
    at = {number: result["position"] for number, result in enumerate(results, 1)}
    page = await alice.history("chat", since=at[2], limit=1000)
    kept = numbers(alice, page)
    assert kept == list(range(kept[0], 501))
    assert 5 <= len(kept) <= 250  # at least that many are kept, and not all
    assert not page.complete
    assert (await alice.history("chat", since=at[499])).complete
    page = await alice.history("chat", since="elsewhere:3", limit=2)
    assert (numbers(alice, page), page.complete, page.more) == (kept[:2], False, True)
    ahead = at[500].replace(":500", ":501")
    assert not (await alice.history("chat", since=ahead)).complete


async def test_a_page_ends_at_512_kib_and_holds_at_least_one(connect: Connect) -> None:
    alice = await connect()
    big = "x" * 60_000
    for _ in range(12):
        await alice.publishes("chat", big)
    page = await alice.history("chat", since=f"{epoch_of(await alice.history('chat', limit=1))}:0", limit=100)
    assert 6 <= len(page.messages) <= 8
    assert page.more
    page = await alice.history("chat", limit=100)
    assert 6 <= len(page.messages) <= 8
    assert page.messages[-1].offset == 12
    assert page.more


def epoch_of(page: HistoryEvent) -> str:
    assert page.position is not None
    return page.position.partition(":")[0]


async def test_a_room_without_history_has_no_position(connect: Connect, new_tenant: NewTenant) -> None:
    tenant = await new_tenant(max_history_messages=0)
    alice = await connect(tenant=tenant)
    await alice.publishes("chat")
    page = await alice.history("chat")
    assert (page.messages, page.position, page.more, page.complete) == ([], None, False, True)
    page = await alice.history("chat", since="abc:0")
    assert (page.messages, page.position, page.complete) == ([], None, False)


async def test_limits_and_positions_are_checked(connect: Connect, binary: bool) -> None:
    alice = await connect(binary=binary)
    for fields, path in (
        ({"limit": 0}, "$.limit"),
        ({"limit": 1001}, "$.limit"),
        ({"since": "no position"}, "$.since"),
        ({"before": "a:-1"}, "$.before"),
    ):
        assert (await alice.refused("invalid", "history", room="chat", **fields)).path == path
    assert (await alice.history("chat", limit=1000)).messages == []


async def test_history_needs_the_right_and_no_membership(connect: Connect) -> None:
    alice = await connect(claims={"rooms": {"chat": ["history"], "other": ["join", "publish"]}})
    await alice.history("chat")
    await alice.refused("forbidden", "history", room="other")


async def test_history_over_http_and_rest_is_the_same_page(
    connect: Connect, node: LiveNode, tenant: Tenant, rest: Rest
) -> None:
    alice = await connect()
    for number in range(5):
        await alice.publishes("chat", number)
    async with Rest(node.address, tenant.token()) as http:
        page = await http.command("history", room="chat", limit=2)
    assert page["type"] == "history"
    assert page == await rest.get("/v1/rooms/chat/messages?limit=2")
    assert [message["data"] for message in page["messages"]] == [3, 4]
    assert set(page["messages"][0]) == {"offset", "data", "time_ms", "from"}
