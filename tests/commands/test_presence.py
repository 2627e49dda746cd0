"""`watch` and `state` of `join`, `set_state` and `members`: who is in a room, and what watchers are told."""

import asyncio
from typing import Any

import pytest
from msgspec import Raw

from service.protocol.events import Left, Member, MembersEvent, Occupancy, Presence, StateSet
from tests.support.fixtures import Connect
from tests.support.live_server import LiveNode
from tests.support.tenants import Tenant
from tests.support.wire_client import Client

pytestmark = pytest.mark.anyio

GRACE_SECONDS = 3.0


def names(members: list[Member]) -> list[str]:
    return [member.connection for member in members]


def info_of(client: Client, member: Member) -> Any:
    assert isinstance(member.info, Raw)
    return client.value(member.info)


def state_of(client: Client, member: Member) -> Any:
    assert isinstance(member.state, Raw)
    return client.value(member.state)


async def tells(watcher: Client, *, joined: int = 0, changed: int = 0, left: int = 0) -> Presence:
    """The events until so many joined, changed and left, as one."""
    told = await watcher.expects(Presence)
    while (len(told.joined), len(told.changed), len(told.left)) < (joined, changed, left):
        more = await watcher.expects(Presence)
        told.joined += more.joined
        told.changed += more.changed
        told.left += more.left
        told.occupancy = more.occupancy
    assert (len(told.joined), len(told.changed), len(told.left)) == (joined, changed, left)
    return told


async def test_welcome_names_what_is_served(connect: Connect) -> None:
    alice = await connect()
    assert {"members", "set_state", "watch", "state"} <= set(alice.welcome.features)


async def test_a_watcher_learns_who_is_there_and_who_comes_changes_and_goes(
    connect: Connect, other_node: LiveNode, binary: bool
) -> None:
    bob = await connect("bob", claims={"info": {"name": "Bob", "big": 2**53}})
    await bob.joins("chat", state={"typing": False})
    alice = await connect("alice", binary=binary)
    joined = await alice.joins("chat", watch=True)
    assert isinstance(joined.members, list)
    by_user = {member.user: member for member in joined.members}
    assert names(joined.members) == sorted([alice.welcome.connection, bob.welcome.connection])
    assert info_of(alice, by_user["bob"]) == {"name": "Bob", "big": 2**53}
    assert state_of(alice, by_user["bob"]) == {"typing": False}
    assert not by_user["alice"].state
    carol = await connect("carol", at=other_node, binary=not binary)
    await carol.joins("chat", state=[1])
    told = await tells(alice, joined=1)
    (member,) = told.joined
    assert (member.user, member.connection) == ("carol", carol.welcome.connection)
    assert state_of(alice, member) == [1]
    assert told.occupancy == Occupancy(connections=3, users=3)
    assert not told.reset
    await carol.asks(StateSet, "set_state", room="chat", state="busy")
    (member,) = (await tells(alice, changed=1)).changed
    assert (member.connection, state_of(alice, member)) == (carol.welcome.connection, "busy")
    assert not member.was
    await carol.asks(Left, "leave", room="chat")
    told = await tells(alice, left=1)
    assert names(told.left) == [carol.welcome.connection]
    assert told.occupancy == Occupancy(connections=2, users=2)
    await bob.close()
    assert names((await tells(alice, left=1)).left) == [bob.welcome.connection]


async def test_watchers_are_told_of_a_join_once_and_only_while_they_watch(connect: Connect) -> None:
    alice, bob, carol = await connect("alice"), await connect("bob"), await connect("carol")
    await alice.joins("chat", watch=True)
    await bob.joins("chat", watch=True)
    assert names((await tells(alice, joined=1)).joined) == [bob.welcome.connection]
    await alice.joins("chat")  # a fresh join, that does not watch
    await carol.joins("chat")
    assert names((await tells(bob, joined=1)).joined) == [carol.welcome.connection]
    await alice.hears_nothing()
    await alice.asks(Left, "leave", room="chat")
    await tells(bob, left=1)
    await bob.asks(Left, "leave", room="chat")
    await carol.asks(Left, "leave", room="chat")
    await bob.hears_nothing()


async def test_one_that_comes_and_goes_at_once_is_not_told_of(connect: Connect) -> None:
    alice, bob, carol = await connect("alice"), await connect("bob"), await connect("carol")
    await alice.joins("chat", watch=True)
    await bob.joins("chat")
    await tells(alice, joined=1)
    await asyncio.sleep(0.12)  # a new time of gathering
    await bob.sends_together(
        {"type": "leave", "room": "chat"},
        {"type": "join", "room": "chat", "state": 1},
        {"type": "set_state", "room": "chat", "state": 2},
    )
    await carol.sends_together({"type": "join", "room": "chat"}, {"type": "leave", "room": "chat"})
    told = await tells(alice, changed=1)
    assert names(told.changed) == [bob.welcome.connection]
    assert state_of(alice, told.changed[0]) == 2
    assert told.occupancy.connections == 2
    await alice.hears_nothing()


async def test_a_lost_socket_s_place_is_taken_by_the_user_s_next_join(
    connect: Connect, other_node: LiveNode, binary: bool
) -> None:
    alice, bob = await connect("alice", binary=binary), await connect("bob")
    await alice.joins("chat", watch=True)
    await bob.joins("chat", state=1)
    since = (await tells(alice, joined=1)).joined[0].joined_at_ms
    bob.drop()
    told = await tells(alice)
    assert told.occupancy == Occupancy(connections=1, users=1)
    page = await alice.asks(MembersEvent, "members", room="chat")
    assert (len(page.members), page.occupancy.connections) == (2, 1)
    again = await connect("bob", at=other_node)
    assert (await again.joins("chat", state=2)).occupancy.connections == 2
    told = await tells(alice, changed=1)
    (member,) = told.changed
    assert (member.connection, member.was) == (again.welcome.connection, bob.welcome.connection)
    assert (member.joined_at_ms, state_of(alice, member)) == (since, 2)
    assert told.occupancy.connections == 2
    await alice.hears_nothing()


@pytest.mark.parametrize("code", [None, 1001])
async def test_a_lost_socket_s_member_leaves_after_its_grace(connect: Connect, code: int | None) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    await alice.joins("chat", watch=True)
    await bob.joins("chat")
    await tells(alice, joined=1)
    lost_at = asyncio.get_running_loop().time()
    if code is None:
        bob.drop()
    else:
        await bob.close(code)
    await tells(alice)
    told = await tells(alice, left=1)
    assert names(told.left) == [bob.welcome.connection]
    assert GRACE_SECONDS <= asyncio.get_running_loop().time() - lost_at < GRACE_SECONDS + 1


async def test_authenticate_shows_another_info_to_watchers(
    connect: Connect, tenant: Tenant, other_node: LiveNode
) -> None:
    alice, bob = await connect("alice"), await connect("bob", at=other_node, claims={"info": 1})
    await alice.joins("chat", watch=True)
    await bob.joins("chat", state="s")
    await tells(alice, joined=1)
    await bob.sends("authenticate", token=tenant.token("bob", info={"name": "B"}))
    (member,) = (await tells(alice, changed=1)).changed
    assert (info_of(alice, member), state_of(alice, member)) == ({"name": "B"}, "s")
    await bob.sends("authenticate", token=tenant.token("bob"))
    assert not (await tells(alice, changed=1)).changed[0].info


async def test_without_the_right_presence_nothing_is_watched_shown_or_listed(
    connect: Connect, tenant: Tenant, binary: bool
) -> None:
    rights = {"rooms": {"*": ["join", "publish", "history", "signal"]}}
    alice = await connect(binary=binary, claims=rights)
    for fields in ({"watch": True}, {"state": None}):
        assert (await alice.refused("forbidden", "join", room="chat", **fields)).room == "chat"
    await alice.joins("chat")
    await alice.refused("forbidden", "set_state", room="chat", state=1)
    await alice.refused("forbidden", "members", room="chat")


async def test_a_token_without_the_right_ends_watching(connect: Connect, tenant: Tenant) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    await alice.joins("chat", watch=True)
    await alice.sends("authenticate", id=1, token=tenant.token("alice", rooms={"*": ["join"]}))
    await alice.next()
    await bob.joins("chat", watch=True)
    await bob.asks(StateSet, "set_state", room="chat", state=1)
    await tells(bob, changed=1)
    await alice.hears_nothing()


@pytest.mark.provokes("limit:max_state_bytes", "error:too_large")
async def test_a_state_over_the_limit_is_refused(connect: Connect, binary: bool) -> None:
    alice = await connect(binary=binary)
    most = alice.welcome.limits.max_state_bytes
    assert most == 1024
    fits, too_large = "x" * (most - 2), "x" * (most - 1)
    await alice.joins("chat", state=fits)
    await alice.asks(StateSet, "set_state", room="chat", state=fits)
    for command in ("join", "set_state"):
        error = await alice.refused("too_large", command, room="chat", state=too_large)
        assert (error.limit, error.path, error.room) == ("max_state_bytes", "$.state", "chat")


async def test_set_state_needs_a_joined_room(connect: Connect, binary: bool) -> None:
    alice = await connect(binary=binary)
    await alice.refused("not_joined", "set_state", room="chat", state=1)
    await alice.joins("chat")
    await alice.asks(Left, "leave", room="chat")
    await alice.refused("not_joined", "set_state", room="chat", state=1)


async def test_members_are_listed_page_by_page_without_joining(
    connect: Connect, other_node: LiveNode, binary: bool
) -> None:
    alice = await connect("alice", binary=binary)
    others = [await connect(f"user-{number}", at=other_node) for number in range(5)]
    for number, each in enumerate(others):
        await each.joins("chat", state=number)
    found: list[Member] = []
    cursor: dict[str, Any] = {}
    while True:
        page = await alice.asks(MembersEvent, "members", room="chat", limit=2, **cursor)
        assert (page.room, page.occupancy) == ("chat", Occupancy(connections=5, users=5))
        found += page.members
        if not isinstance(page.next_cursor, str):
            break
        assert len(page.members) == 2
        cursor = {"cursor": page.next_cursor}
    assert names(found) == sorted(each.welcome.connection for each in others)
    assert sorted(state_of(alice, member) for member in found) == [0, 1, 2, 3, 4]
    empty = await alice.asks(MembersEvent, "members", room="empty")
    assert (empty.members, empty.occupancy) == ([], Occupancy(connections=0, users=0))
    assert not isinstance(empty.next_cursor, str)


async def test_a_cursor_of_another_room_is_refused(connect: Connect, binary: bool) -> None:
    alice, bob = await connect("alice", binary=binary), await connect("bob")
    for each in (alice, bob):
        await each.joins("chat")
        await each.joins("other")
    page = await alice.asks(MembersEvent, "members", room="chat", limit=1)
    for cursor in (page.next_cursor, "nonsense", ""):
        error = await alice.refused("invalid", "members", room="other", cursor=cursor)
        assert (error.path, error.room) == ("$.cursor", "other")
    for limit in (0, 1_001):
        assert (await alice.refused("invalid", "members", room="chat", limit=limit)).path == "$.limit"


async def test_a_page_of_members_ends_at_512_kib(connect: Connect, tenant: Tenant) -> None:
    await tenant.limit(max_state_bytes=60_000, max_connections_per_user=None)
    crowd = [await connect("bob") for _ in range(12)]
    deadline = asyncio.get_running_loop().time() + 5
    while crowd[0].welcome.limits.max_state_bytes != 60_000 and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.1)
        crowd[0] = await connect("bob")
    for each in crowd:
        await each.joins("chat", state="x" * 59_000)
    page = await crowd[0].asks(MembersEvent, "members", room="chat")
    assert len(page.members) == 8
    rest = await crowd[0].asks(MembersEvent, "members", room="chat", cursor=page.next_cursor)
    assert len({*names(page.members), *names(rest.members)}) == 12


async def test_rooms_of_a_type_without_presence_refuse_it(connect: Connect, tenant: Tenant, binary: bool) -> None:
    await tenant.room_type("quiet:*", presence=False)
    alice = await connect(binary=binary)
    async with asyncio.timeout(10):
        while True:  # nodes know of the type within 2 s
            await alice.sends("members", room="quiet:1", id=0)
            if not isinstance(await alice.next(), MembersEvent):
                break
            await asyncio.sleep(0.05)
    for fields in ({"watch": True}, {"state": 1}):
        assert (await alice.refused("forbidden", "join", room="quiet:1", **fields)).room == "quiet:1"
    await alice.joins("quiet:1")
    await alice.refused("forbidden", "set_state", room="quiet:1", state=1)
    await alice.joins("loud:1", watch=True)
