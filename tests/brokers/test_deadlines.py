"""Every operation of the port ends within 1.5 s, whatever became of Redis, and says so."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from service.brokers import listener, resp, scripts
from service.brokers.broker import Broker, ConnectionEntry, Origin
from service.brokers.control import NodeFacts
from service.brokers.resp import DEADLINE_SECONDS
from service.protocol.errors import RoomcastError, Unavailable
from tests.brokers.conftest import Node, Nodes, Room, Server, channels_of
from tests.faults.proxy import Proxy

pytestmark = pytest.mark.anyio
MOST_SECONDS = DEADLINE_SECONDS + 0.1  # the loop's own turns
ENTRY = ConnectionEntry("connection-1", "alice", "node-a", 1, "")
FACTS = NodeFacts(node="node-a", version="1", started_at_ms=1, connections=0, draining=False)

# What is awaited, or answered later: an example of each.
OPERATIONS: dict[str, Callable[[Node], Awaitable[object]]] = {
    "broadcast_to_room": lambda a: a.publish(a.address("T1", "chat")),
    "signal_room": lambda a: a.signal_room(a.address("T1", "chat"), b"", Origin()),
    "broadcast_to_user": lambda a: a.broadcast_to_user("T1", "alice", b""),
    "disconnect": lambda a: a.disconnect("T1", user="alice"),
    "subscribe": lambda a: a.subscribe(a.address("T1", "chat"), Room()),
    "claim_room": lambda a: a.claim_room(a.address("T1", "chat"), None),
    "release_room": lambda a: a.release_room(a.address("T1", "chat")),
    "read_history": lambda a: a.history(a.address("T1", "chat")),
    "forget_history": lambda a: a.forget_history(a.address("T1", "chat")),
    "end_epoch": lambda a: a.end_epoch(a.address("T1", "chat"), "x"),
    "describe_room": lambda a: a.describe_room(a.address("T1", "chat")),
    "connect": lambda a: a.connect("T1", ENTRY, None, None),
    "counts": lambda a: a.counts("T1"),
    "list_rooms": lambda a: a.list_rooms("T1", "", "", 10),
    "list_connections": lambda a: a.list_connections("T1", "", 10),
    "find_connection": lambda a: a.find_connection("T1", "connection-1"),
    "find_user": lambda a: a.find_user("T1", "alice"),
    "join": lambda a: a.join(a.address("T1", "chat"), "connection-1", "alice", None),
    "leave": lambda a: a.leave(a.address("T1", "chat"), "connection-1"),
    "set_state": lambda a: a.set_state(a.address("T1", "chat"), "connection-1", b"1"),
    "list_members": lambda a: a.list_members(a.address("T1", "chat"), "", 10, 1_000),
    "watch": lambda a: a.watch(a.address("T1", "chat")),
    "expel_user": lambda a: a.expel_user(a.address("T1", "chat"), "alice"),
    "announce_tenant_change": lambda a: a.announce_tenant_change("T1"),
    "key_connections": lambda a: a.key_connections("T1"),
    "purge_tenant": lambda a: a.purge_tenant("T9"),
    "measure_tenant": lambda a: a.measure_tenant("T1"),
    "tell_node": lambda a: a.tell_node(FACTS),
    "list_nodes": lambda a: a.list_nodes(),
    "ask_node": lambda a: a.ask_node("node-z", 1, b""),
    "reply_to_node": lambda a: a.reply_to_node("node-z", 1, b""),
    "look_at_redis": lambda a: a.look_at_redis(),
    "ask_to_drain": lambda a: a.ask_to_drain("node-z"),
    "divide_rates": lambda a: a.divide_rates(2, {"T1": (0.9,)}, {"T1"}, (0.1,)),
}
# What is sent, or looked up, and never waited for.
AT_ONCE: dict[str, Callable[[Node], object]] = {
    "address": lambda a: a.address("T1", "chat"),
    "unsubscribe": lambda a: a.unsubscribe(a.address("T1", "chat")),
    "disconnected": lambda a: a.disconnected("T1", "connection-1", "alice"),
    "note_rooms": lambda a: a.note_rooms("T1", "connection-1", ("chat",)),
    "left": lambda a: a.left(a.address("T1", "chat"), "connection-1", 10),
    "set_info": lambda a: a.set_info(a.address("T1", "chat"), "connection-1", b"{}"),
    "unwatch": lambda a: a.unwatch(a.address("T1", "chat")),
    "note_key_use": lambda a: a.note_key_use("T1", {"kid": 1}),
    "node_count": lambda a: a.node_count(),
}


def test_no_operation_of_the_port_is_forgotten_here() -> None:
    port = {name for name in dir(Broker) if not name.startswith("_") and callable(getattr(Broker, name))}
    assert port == {*OPERATIONS, *AT_ONCE}


async def seconds_of(operation: Callable[[Node], Awaitable[object]], a: Node) -> tuple[float, RoomcastError | None]:
    begun = time.monotonic()
    error: RoomcastError | None = None
    try:
        await operation(a)
    except RoomcastError as refusal:
        error = refusal
    return time.monotonic() - begun, error


async def ask_all(a: Node) -> dict[str, tuple[float, RoomcastError | None]]:
    """Ask each operation at the same time; none may take too long."""
    for operation in AT_ONCE.values():
        begun = time.monotonic()
        operation(a)
        assert time.monotonic() - begun < 0.1
    asked = await asyncio.gather(*[seconds_of(operation, a) for operation in OPERATIONS.values()])
    found = dict(zip(OPERATIONS, asked, strict=True))
    assert {name: seconds for name, (seconds, _) in found.items() if seconds > MOST_SECONDS} == {}
    return found


def refused(found: dict[str, tuple[float, RoomcastError | None]]) -> None:
    """All of them were, so that a client knows when to come again."""
    for name, (_, error) in found.items():
        assert isinstance(error, Unavailable), (name, error)
        assert error.retry_after_ms, name


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(server.url, f"unix://{server.folder}/proxy.sock") as proxy:
        yield proxy


@pytest.fixture
async def far(proxy: Proxy, nodes: Nodes) -> AsyncIterator[Node]:
    """A node behind a proxy."""
    yield await nodes.start(proxy.url, "node-far", lease_seconds=6.0)
    proxy.heal()


async def test_every_operation_on_a_frozen_redis_fails_in_time(a: Node, server: Server) -> None:
    server.signal(signal.SIGSTOP)
    try:
        refused(await ask_all(a))
        without_connection = await ask_all(a)
    finally:
        server.signal(signal.SIGCONT)
    refused(without_connection)
    seconds = {name: seconds for name, (seconds, _) in without_connection.items()}
    del seconds["subscribe"]  # it may have to wait for its own connection's deadline
    assert max(seconds.values()) < 0.1
    await a.listener.until_heard("back")
    assert (await a.publish(a.address("T1", "chat"))).stored


async def test_every_operation_on_a_redis_that_was_cut_off_fails_in_time(far: Node, proxy: Proxy) -> None:
    proxy.set(freezes_to_server=True, freezes_to_client=True)
    refused(await ask_all(far))
    refused(await ask_all(far))
    proxy.heal()
    await far.listener.until_heard("back")
    assert (await far.publish(far.address("T1", "chat"))).stored


@pytest.mark.parametrize("delay_seconds", [0.7, 1.2])
async def test_every_operation_on_a_slow_redis_ends_in_time(far: Node, proxy: Proxy, delay_seconds: float) -> None:
    proxy.set(to_client_delay_seconds=delay_seconds)
    found = await ask_all(far)
    assert found["broadcast_to_room"][1] is None
    assert found["subscribe"][1] is None
    for name, (_, error) in found.items():
        assert error is None or (isinstance(error, Unavailable) and error.retry_after_ms), name


async def test_a_subscription_that_is_not_confirmed_in_time_fails_though_messages_come(
    far: Node, a: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "DEADLINE_SECONDS", 0.2)
    heard, unheard = Room(), Room()
    await far.subscribe(far.address("T1", "chat"), heard)
    channels = channels_of(far)
    receive = channels.receive_answer
    late: list[object] = []
    channels.receive_answer = late.append  # type: ignore[method-assign,assignment]
    with pytest.raises(Unavailable, match="unknown"):
        await far.subscribe(far.address("T1", "late"), unheard)
    for reply in late:
        receive(reply)
    channels.receive_answer = receive  # type: ignore[method-assign]
    await a.publish(a.address("T1", "late"))
    await a.publish(a.address("T1", "chat"))
    await heard.until_messages(1)
    assert not unheard.messages
    assert sum(channels.open_rooms.values()) == 1
    await far.subscribe(far.address("T1", "late"), unheard)
    await a.publish(a.address("T1", "late"))
    await unheard.until_messages(1)


async def test_a_subscription_nobody_waits_for_any_more_is_given_up(far: Node, a: Node) -> None:
    address, room = far.address("T1", "chat"), Room()
    subscribing = asyncio.ensure_future(far.subscribe(address, room))
    await asyncio.sleep(0)
    subscribing.cancel()
    await asyncio.gather(subscribing, return_exceptions=True)
    await far.subscribe(far.address("T1", "next"), Room())
    assert list(channels_of(far).open_rooms) == [far.address("T1", "next").partition]
    await a.publish(address)
    assert not room.messages


async def test_more_than_redis_can_take_in_time_is_refused_at_once(a: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (resp, listener):
        monkeypatch.setattr(module, "MAX_COMMANDS_IN_FLIGHT", 50)
    address = a.address("T1", "chat")
    subscribing = [a.subscribe(a.address("T1", f"room-{number}"), Room()) for number in range(60)]
    asked = [a.history(address) for _ in range(60)]
    for waiting in (subscribing, asked):
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        excess = [answer for answer in answers if isinstance(answer, Unavailable)]
        assert len(excess) == 10
        assert all("behind: nothing was stored" in each.message and each.retry_after_ms for each in excess)
    assert (await a.publish(address)).stored


async def test_nothing_is_sent_twice_when_its_answer_is_lost(far: Node, proxy: Proxy) -> None:
    """Each of these is stored once, and its asker told that it does not know."""
    address = far.address("T1", "chat")
    proxy.set(lost_replies=1.0, lost_replies_of=scripts.PUBLISH.digest)
    for _ in range(5):
        with pytest.raises(Unavailable, match="unknown"):
            await far.publish(address)
        await far.listener.until_back(1)
        far.listener.heard.clear()
    proxy.heal()
    assert (await far.publish(address)).offset == 6
