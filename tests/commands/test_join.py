import pytest

from service.protocol.events import ErrorEvent, Joined, Left, Message, Occupancy
from tests.support.fixtures import Connect, NewTenant

pytestmark = pytest.mark.anyio


async def test_joined_tells_the_head_and_counts_oneself(connect: Connect, binary: bool) -> None:
    alice = await connect("alice", binary=binary)
    joined = await alice.joins("chat")
    assert joined.position is not None
    assert joined.position.endswith(":0")
    assert joined.recovered is None
    assert joined.occupancy == Occupancy(connections=1, users=1)
    bob = await connect("bob", binary=binary)
    published = await alice.publishes("chat")
    joined = await bob.joins("chat")
    assert joined.position == published.position
    assert joined.occupancy == Occupancy(connections=2, users=2)
    assert (await (await connect("bob")).joins("chat")).occupancy == Occupancy(connections=3, users=2)


async def test_a_join_without_id_joins_silently(connect: Connect) -> None:
    alice = await connect()
    await alice.sends("join", room="chat")
    await alice.sends("publish", room="chat", data="mine", echo=True)
    await alice.expects(Message, data="mine", offset=1)


async def test_the_claim_join_joins_at_once_and_is_itself_the_right(connect: Connect) -> None:
    alice = await connect(claims={"rooms": {}, "join": ["news", "chat"]})
    assert {(await alice.expects(Joined)).room, (await alice.expects(Joined)).room} == {"news", "chat"}
    again = await alice.joins("news")
    assert again.occupancy.connections == 1
    await alice.refused("forbidden", "publish", room="news", data=1)


@pytest.mark.provokes("limit:max_rooms_per_connection", "error:too_many")
async def test_a_room_of_the_claim_join_that_cannot_be_joined_is_an_error_with_its_room(
    connect: Connect, new_tenant: NewTenant
) -> None:
    tenant = await new_tenant(max_rooms_per_connection=1)
    alice = await connect(tenant=tenant, claims={"join": ["first", "second"]})
    events = {type(event): event for event in (await alice.next(), await alice.next())}
    joined, error = events[Joined], events[ErrorEvent]
    assert isinstance(error, ErrorEvent)
    assert isinstance(joined, Joined)
    assert (error.code, error.limit, error.scope) == ("too_many", "max_rooms_per_connection", "connection")
    assert {error.room, joined.room} == {"first", "second"}


@pytest.mark.parametrize(
    ("rooms", "room", "allowed"),
    [
        ({"chat": ["join"]}, "chat", True),
        ({"chat": ["publish"]}, "chat", False),
        ({"chat:*": ["join"]}, "chat:1", True),
        ({"chat:*": ["join"]}, "chat", False),
        ({"*": ["join"], "chat:*": ["publish"]}, "chat:1", False),
        ({"chat:*": ["join"], "chat:1": []}, "chat:1", False),
        ({"*": ["*"]}, "anything", True),
        ({}, "chat", False),
    ],
)
@pytest.mark.provokes("error:forbidden")
async def test_the_exact_name_else_the_longest_prefix_alone_decides(
    connect: Connect, rooms: dict[str, list[str]], room: str, allowed: bool
) -> None:
    alice = await connect(claims={"rooms": rooms})
    if allowed:
        await alice.joins(room)
    else:
        assert (await alice.refused("forbidden", "join", room=room)).room == room


async def test_joining_a_joined_room_is_a_fresh_join(connect: Connect) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    await alice.joins("chat")
    first = await bob.publishes("chat", 1)
    await alice.expects(Message, data=1)
    await bob.publishes("chat", 2)
    await alice.expects(Message, data=2)
    joined = await alice.joins("chat", since=first.position)
    assert (joined.recovered, joined.occupancy.connections) == (True, 1)
    await alice.expects(Message, data=2, offset=2)
    await bob.publishes("chat", 3)
    await alice.expects(Message, data=3, offset=3)
    await alice.hears_nothing()


async def test_leaving_ends_delivery_and_is_answered_also_for_a_room_not_joined(connect: Connect, binary: bool) -> None:
    alice, bob = await connect("alice", binary=binary), await connect("bob")
    assert (await alice.asks(Left, "leave", room="never")).reason == "asked"
    await alice.joins("chat")
    await alice.joins("other")
    await alice.asks(Left, "leave", room="chat")
    await bob.publishes("chat", "unheard")
    await bob.publishes("other", "heard")
    await alice.expects(Message, room="other", data="heard")
    await alice.asks(Left, "leave", room="chat")
    assert (await bob.joins("chat")).occupancy.connections == 1
