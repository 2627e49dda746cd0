"""What nodes are told of members, by a real Valkey: each change once, in order, and only where somebody watches."""

import asyncio

import pytest

from service.brokers.broker import RoomAddress
from service.brokers.members import RoomMember, Shown
from service.protocol.errors import Unavailable
from tests.brokers.conftest import Node, Nodes, Room, Server, eventually

pytestmark = pytest.mark.anyio

WATCHES = Shown(watches=True)
LONG_MS, SHORT_MS = 60_000, 60


def changes_in(room: Room) -> list[tuple[str, str, str]]:
    """Kind, connection and the one whose place it took."""
    every = [change for told in room.presence for change in told.changes]
    return [(change.kind, change.member.connection, change.was) for change in every]


async def until_changes(room: Room, count: int) -> list[tuple[str, str, str]]:
    await room.until(lambda: len(changes_in(room)) >= count)
    return changes_in(room)


async def watch(node: Node, address: RoomAddress, connection: str = "connection-w") -> Room:
    """A watcher on the node, and what it is told."""
    room = Room()
    await node.subscribe(address, room)
    await node.join(address, connection, "watcher", None, WATCHES)
    return room


def names(members: "tuple[RoomMember, ...] | list[RoomMember]") -> list[str]:
    return [member.connection for member in members]


async def listed(node: Node, address: RoomAddress) -> list[str]:
    return names([*(await node.list_members(address, "", 1_000, 1_000_000)).members])


async def test_a_watching_node_is_told_of_each_change_in_order(a: Node, b: Node) -> None:
    here, there = a.address("T1", "chat"), b.address("T1", "chat")
    room = await watch(a, here)
    await b.join(there, "connection-1", "alice", None, Shown(b'{"name": "A"}', b"[1,\n2]"))
    assert await b.set_state(there, "connection-1", b'"away"')
    b.set_info(there, "connection-1", b"null")
    await b.leave(there, "connection-1")
    await until_changes(room, 5)
    sequences = [change.sequence for change in room.presence]
    assert sequences == list(range(sequences[0], sequences[0] + 5))
    assert [(change.connections, change.users) for change in room.presence] == [(1, 1), (2, 2), (2, 2), (2, 2), (1, 1)]
    shown = [
        (change.kind, change.member.info, change.member.state) for told in room.presence for change in told.changes
    ]
    assert shown == [
        ("joined", b"", b""),
        ("joined", b'{"name": "A"}', b"[1,\n2]"),
        ("changed", b'{"name": "A"}', b'"away"'),
        ("changed", b"null", b'"away"'),
        ("left", b"null", b'"away"'),
    ]


async def test_what_changes_nothing_is_not_told(a: Node) -> None:
    address = a.address("T1", "chat")
    room = await watch(a, address)
    await a.join(address, "connection-1", "alice", None, Shown(state=b"1"))
    await a.join(address, "connection-1", "alice", None, Shown(state=b"1"))
    await a.set_state(address, "connection-1", b"1")
    await a.join(address, "connection-1", "alice", None)
    await a.leave(address, "connection-2")
    assert not await a.set_state(address, "connection-2", b"1")
    await a.leave(address, "connection-1")
    changes = await until_changes(room, 4)
    assert [kind for kind, *_ in changes] == ["joined", "joined", "changed", "left"]


async def test_nothing_is_told_where_nobody_watches(server: Server, a: Node, b: Node) -> None:
    address = a.address("T1", "chat")
    room = Room()
    await b.subscribe(b.address("T1", "chat"), room)
    await a.join(address, "connection-1", "alice", None)
    first = await a.join(address, "connection-w", "alice", None, WATCHES)
    assert first.snapshot is not None
    await a.join(address, "connection-2", "alice", None)
    await a.leave(address, "connection-w")
    a.unwatch(address)
    await a.leave(address, "connection-2")
    again = await a.join(address, "connection-v", "alice", None, WATCHES)
    assert again.snapshot is not None
    await until_changes(room, 4)
    assert changes_in(room) == [
        ("joined", "connection-w", ""),
        ("joined", "connection-2", ""),
        ("left", "connection-w", ""),
        ("joined", "connection-v", ""),
    ]
    assert again.snapshot.sequence > first.snapshot.sequence + 100, "it is no continuation"


async def test_who_watches_gets_the_members_of_that_moment(a: Node, b: Node) -> None:
    address = a.address("T1", "chat")
    for number in range(120):
        await a.join(address, f"connection-{number:03}", f"user {number % 7}", None, Shown(b"1", b"%d" % number))
    head = await b.join(b.address("T1", "chat"), "connection-050w", "bob", None, WATCHES)
    assert head.snapshot is not None
    assert (head.snapshot.connections, head.snapshot.users) == (head.connections, head.users) == (121, 8)
    first = [*(f"connection-{number:03}" for number in range(99)), "connection-050w"]
    assert names([*head.snapshot.members]) == sorted(first)
    member = head.snapshot.members[3]
    assert (member.connection, member.user, member.info, member.state) == ("connection-003", "user 3", b"1", b"3")
    looked = await b.watch(address)
    assert (looked.sequence, looked.connections, looked.users) == (head.snapshot.sequence, 121, 8)


async def test_pages_are_stable_and_end_at_their_bytes(server: Server, a: Node) -> None:
    address = a.address("T1", "chat")
    for number in range(450):
        await a.join(address, f"connection-{number:03}", "alice", None, Shown(state=b'"%s"' % (b"x" * 98)))
    found: list[str] = []
    while True:
        page = await a.list_members(address, found[-1] if found else "", 100, 1_000_000)
        found += names([*page.members])
        assert (page.connections, page.users) == (450 if len(found) < 400 else 449, 1)
        if len(found) == 200:
            await a.join(address, "connection-000b", "bob", None)  # behind us
            await a.leave(address, "connection-000b")
        if len(found) == 300:
            assert server.client.delete(address.keys.key(b"l")), "nobody asked for a page for long"
            a.left(address, "connection-333", LONG_MS)
        if not page.more:
            break
        assert len(page.members) == 100
    assert found == [f"connection-{number:03}" for number in range(450)]
    few = await a.list_members(address, "", 1_000, 2_000)
    assert few.more
    assert 5 < len(few.members) < 20
    one = await a.list_members(address, "", 1_000, 1)
    assert (one.more, len(one.members)) == (True, 1)
    assert await a.list_members(a.address("T1", "empty"), "", 10, 100) == ([], False, 0, 0)


async def test_an_absent_member_is_listed_and_not_counted(a: Node) -> None:
    address = a.address("T1", "chat")
    room = await watch(a, address)
    await a.join(address, "connection-1", "alice", None)
    a.left(address, "connection-1", LONG_MS)
    await room.until(lambda: len(room.presence) == 3)
    assert room.presence[2].changes == []
    assert (room.presence[2].connections, room.presence[2].users) == (1, 1)
    assert await listed(a, address) == ["connection-1", "connection-w"]
    described = await a.describe_room(address)
    assert described is not None
    assert described.connections == 1


async def test_the_next_join_of_the_user_takes_the_place_of_an_absent_one(a: Node, b: Node) -> None:
    address = a.address("T1", "chat")
    room = await watch(a, address)
    for number in (1, 2):
        await a.join(address, f"connection-{number}", "alice", None, Shown(state=b"%d" % number))
    for number in (1, 2):
        a.left(address, f"connection-{number}", LONG_MS)
    there = b.address("T1", "chat")
    await b.join(there, "connection-x", "bob", None)
    for number in (3, 4, 5):
        await b.join(there, f"connection-{number}", "alice", None, Shown(state=b"7"))
    assert (await until_changes(room, 7))[3:] == [
        ("joined", "connection-x", ""),
        ("changed", "connection-3", "connection-1"),
        ("changed", "connection-4", "connection-2"),
        ("joined", "connection-5", ""),
    ]
    told = [change for each in room.presence for change in each.changes]
    assert told[4].member.joined_at_ms == told[1].member.joined_at_ms
    assert told[4].member.state == b"7"
    assert await listed(a, address) == [f"connection-{name}" for name in "345wx"]


async def test_a_grace_ends_once_and_in_time(a: Node, b: Node) -> None:
    address = a.address("T1", "chat")
    room = await watch(b, b.address("T1", "chat"))
    for number in range(450):
        await a.join(address, f"connection-{number}", f"user-{number % 3}", None)
    began = asyncio.get_running_loop().time()
    for number in range(450):
        a.left(address, f"connection-{number}", 300)
    changes = await until_changes(room, 901)
    assert 0.3 <= asyncio.get_running_loop().time() - began < 2.5
    assert {kind for kind, *_ in changes[451:]} == {"left"}
    assert len({connection for _, connection, _ in changes[451:]}) == 450
    assert await listed(a, address) == ["connection-w"]
    await eventually(lambda: nothing_due(a))


async def nothing_due(node: Node) -> bool:
    return not node._absences._due


async def test_a_grace_whose_node_is_gone_ends_too(server: Server, nodes: Nodes, a: Node) -> None:
    b = await nodes.start(server.url, "node-b")
    address = a.address("T1", "chat")
    room = await watch(a, address)
    await b.join(b.address("T1", "chat"), "connection-1", "alice", None)
    b.left(b.address("T1", "chat"), "connection-1", SHORT_MS)
    b._absences._due.clear()
    assert (await until_changes(room, 3))[2] == ("left", "connection-1", "")
    assert not server.client.keys("*absences*")


async def test_a_user_is_put_out_with_its_absent_ones(a: Node, b: Node) -> None:
    address = a.address("T1", "chat")
    room = await watch(a, address)
    await b.enter("T1", "connection-1", "alice with spaces", "chat")
    for name in ("connection-2", "connection-3"):
        await a.join(address, name, "alice with spaces", None)
    for name in ("connection-2", "connection-3"):
        a.left(address, name, LONG_MS)
    await a.join(address, "connection-4", "bob", None)
    a.left(address, "connection-4", LONG_MS)
    await a.expel_user(address, "alice with spaces")
    await b.listener.until_heard("expulsion", "T1", "chat", "alice with spaces")
    changes = await until_changes(room, 7)
    assert sorted(changes[5:]) == [("left", "connection-2", ""), ("left", "connection-3", "")]
    assert await listed(a, address) == ["connection-1", "connection-4", "connection-w"]
    await a.expel_user(address, "nobody")


async def test_a_dead_node_s_members_are_swept_with_their_changes(server: Server, nodes: Nodes, a: Node) -> None:
    b = await nodes.start(server.url, "node-b")
    c = await nodes.start(server.url, "node-c")
    address, there = a.address("T1", "chat"), b.address("T1", "chat")
    rooms = [await watch(a, address), await watch(c, c.address("T1", "chat"), "connection-v")]
    await b.enter("T1", "connection-0", "alice", "chat")
    await b.join(there, "connection-bw", "alice", None, WATCHES)
    for number in range(1, 700):
        await b.join(there, f"connection-{number}", f"user {number % 7}", None, Shown(state=b'"%s"' % (b"x" * 400)))
    b._link.abort()
    b._is_stopping = True  # it does not come back
    b._lost.set()
    for room in rooms:
        await room.until(lambda room=room: sum(kind == "left" for kind, *_ in changes_in(room)) == 701)  # type: ignore[misc]
        left = [connection for kind, connection, _ in changes_in(room) if kind == "left"]
        assert len(left) == len(set(left))
        sequences = [change.sequence for change in room.presence]
        assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))
        assert len([change for change in room.presence if any(each.kind == "left" for each in change.changes)]) < 20
    assert await listed(a, address) == ["connection-v", "connection-w"]
    watchers = server.client.hkeys(f"rc1:{{p{address.partition}}}:w/T1/chat")
    assert len(watchers) == 3, "the sequence and two leases"


async def test_members_of_a_node_that_comes_back_under_a_new_lease_stay(server: Server, a: Node, b: Node) -> None:
    address = a.address("T1", "chat")
    room = await watch(a, address)
    shown = Shown(b'"info"', b'"state"', True)
    entry = await b.enter("T1", "connection-1", "alice", "chat")
    await b.join(b.address("T1", "chat"), "connection-1", "alice", None, shown)
    b.listener.held[:] = [("T1", entry._replace(shown={"chat": shown}))]
    await until_changes(room, 3)
    b._link.abort()
    await b.listener.until_back(1)
    await b.set_state(b.address("T1", "chat"), "connection-1", b"2")
    assert await until_changes(room, 4) == [
        ("joined", "connection-w", ""),
        ("joined", "connection-1", ""),
        ("changed", "connection-1", ""),
        ("changed", "connection-1", ""),
    ]
    watchers = server.client.hkeys(f"rc1:{{p{address.partition}}}:w/T1/chat")
    assert sorted(watchers) == sorted([b"#", a._link.lease, b._link.lease])


async def test_in_a_room_of_more_than_a_thousand_only_counts_are_told(a: Node, b: Node) -> None:
    address = a.address("T1", "chat")
    await asyncio.gather(*[a.join(address, f"connection-{number}", "alice", None) for number in range(999)])
    room = await watch(b, b.address("T1", "chat"))
    await a.join(address, "connection-x", "alice", None)
    await a.leave(address, "connection-x")
    await room.until(lambda: len(room.presence) == 3)
    assert [(told.connections, len(told.changes)) for told in room.presence] == [(1000, 1), (1001, 0), (1000, 1)]


async def test_a_lease_that_ended_changes_nothing(a: Node) -> None:
    address = a.address("T1", "chat")
    await a.join(address, "connection-1", "alice", None)
    a._link.lease_ends_at = 0.0
    for refused in (a.set_state(address, "connection-1", b"1"), a.watch(address)):
        with pytest.raises(Unavailable):
            await refused
