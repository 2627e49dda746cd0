import asyncio

import pytest

from service.brokers import resp
from service.brokers.broker import ConnectionEntry
from service.protocol.errors import TooMany, Unavailable
from tests.brokers.conftest import Node, eventually

pytestmark = pytest.mark.anyio


def entry(node: Node, connection: str, user: str, address: str = "::1") -> ConnectionEntry:
    return ConnectionEntry(connection, user, node.node, 1_700_000_000_123, address)


async def test_connections_are_found_from_every_node(a: Node, b: Node) -> None:
    first, second = entry(a, "connection-1", "alice of \u00e9, x"), entry(b, "connection-2", "alice of \u00e9, x", "")
    await a.connect("T1", first, None, None)
    await b.connect("T1", second, None, None)
    await b.connect("T2", entry(b, "connection-3", "alice"), None, None)
    assert await b.find_connection("T1", "connection-1") == first
    assert await a.find_connection("T1", "connection-2") == second
    assert await a.find_connection("T1", "connection-3") is None
    assert await b.find_user("T1", first.user) == [first, second]
    assert await b.find_user("T1", "alice") == []
    assert await a.counts("T1") == (2, 1, 0)
    a.disconnected("T1", "connection-1", first.user)
    a.disconnected("T1", "connection-2", first.user)  # not its own
    assert await a.find_connection("T1", "connection-1") is None
    assert await a.find_user("T1", first.user) == [second]
    assert await b.counts("T1") == (1, 1, 0)


async def test_users_whose_names_begin_alike_are_not_mixed_up(a: Node) -> None:
    users = ["al", "alice", "alice0", "alice.", "al ice", "alice-/"[:-1]]
    for number, user in enumerate(users):
        await a.connect("T1", entry(a, f"connection-{number}", user), None, None)
    for number, user in enumerate(users):
        assert [found.connection for found in await a.find_user("T1", user)] == [f"connection-{number}"]


async def test_connections_are_listed_in_pages(a: Node, b: Node) -> None:
    names = sorted(f"connection-{n:03}" for n in range(25))
    for number, name in enumerate(reversed(names)):
        node = a if number % 2 else b
        await node.connect("T1", entry(node, name, f"user-{number % 3}"), None, None)
    found: list[str] = []
    while page := await a.list_connections("T1", found[-1] if found else "", 10):
        found += [connection.connection for connection in page]
    assert found == names


async def test_limits_of_connections_are_exact_under_concurrency(a: Node, b: Node) -> None:
    connects = [
        (a if n % 2 else b).connect("T1", entry(a if n % 2 else b, f"connection-{n}", f"user-{n % 10}"), 20, 3)
        for n in range(100)
    ]
    outcomes = await asyncio.gather(*connects, return_exceptions=True)
    refused = [error for error in outcomes if isinstance(error, TooMany)]
    assert len(outcomes) - len(refused) == 20
    assert (await a.counts("T1")).connections == 20
    assert {(error.limit, error.scope) for error in refused} <= {
        ("max_connections", "tenant"),
        ("max_connections_per_user", "user"),
    }
    for _ in range(3):
        await a.connect("T2", entry(a, f"connection-{_}", "alice"), None, 3)
    with pytest.raises(TooMany) as error:
        await b.connect("T2", entry(b, "connection-9", "alice"), None, 3)
    assert (error.value.limit, error.value.scope) == ("max_connections_per_user", "user")
    await a.connect("T2", entry(a, "connection-1", "alice"), 3, 3)  # entering again takes no place


async def test_rooms_of_a_connection_are_noted_within_seconds(a: Node, b: Node) -> None:
    await a.connect("T1", entry(a, "connection-1", "alice"), None, None)
    a.note_rooms("T1", "connection-1", ("chat",))
    a.note_rooms("T1", "connection-1", ("chat", "news"))
    a.note_rooms("T1", "connection-gone", ("chat",))

    async def shows(*rooms: str) -> bool:
        found = await b.find_connection("T1", "connection-1")
        return found is not None and found.rooms == rooms

    await eventually(lambda: shows("chat", "news"), 3)
    assert await b.find_connection("T1", "connection-gone") is None
    a.note_rooms("T1", "connection-1", ())
    await eventually(shows, 3)


async def test_a_direct_message_reaches_each_node_of_the_user_once_and_no_other(a: Node, b: Node) -> None:
    body = b'"data":"\n 1 u T1 bob\n"'
    for n in range(3):
        await a.connect("T1", entry(a, f"connection-{n}", "alice smith"), None, None)
    await b.connect("T1", entry(b, "connection-b", "bob"), None, None)
    await b.broadcast_to_user("T1", "alice smith", body)
    await a.broadcast_to_user("T1", "bob", b"2")
    await a.broadcast_to_user("T1", "nobody", b"3")
    await a.announce_tenant_change("T1")
    await a.listener.until_heard("change", "T1")
    await b.listener.until_heard("change", "T1")
    assert a.listener.heard == [("direct", "T1", "alice smith", body), ("change", "T1")]
    assert b.listener.heard == [("direct", "T1", "bob", b"2"), ("change", "T1")]


async def test_a_disconnect_reaches_the_node_that_holds_the_connection(a: Node, b: Node) -> None:
    await b.connect("T1", entry(b, "connection-b", "bob b"), None, None)
    assert await a.disconnect("T1", user="bob b", reconnect=True)
    assert await a.disconnect("T1", connection="connection-b")
    assert not await a.disconnect("T1", user="bob")
    assert not await a.disconnect("T1", connection="connection-c")
    assert not await a.disconnect("T2", connection="connection-b")
    await b.listener.until_heard("disconnect", "T1", None, "connection-b", False)
    assert b.listener.heard[0] == ("disconnect", "T1", "bob b", None, True)
    assert not a.listener.heard


async def test_rooms_that_could_not_be_noted_now_are_noted_later(a: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    await a.connect("T1", entry(a, "connection-1", "alice"), None, None)
    await a.connect("T1", entry(a, "connection-2", "alice"), None, None)
    monkeypatch.setattr(resp, "MAX_COMMANDS_IN_FLIGHT", 0)
    a.note_rooms("T1", "connection-1", ("old",))
    a.note_rooms("T1", "connection-2", ("chat",))
    sending = asyncio.ensure_future(a._send_noted_rooms())
    await asyncio.sleep(0)
    a.note_rooms("T1", "connection-1", ("new",))
    await asyncio.wait([sending])
    assert isinstance(sending.exception(), Unavailable)
    monkeypatch.undo()
    await a._send_noted_rooms()
    assert [found.rooms for found in await a.find_user("T1", "alice")] == [("new",), ("chat",)]
