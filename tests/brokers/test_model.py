"""The simulation's model of Redis (tests/simulation/) does what the scripts do on a real Valkey."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from service.brokers.broker import Broker, Envelope, Origin, Publication, Retention, RoomAddress
from service.brokers.members import MemberChange, PresenceChange, RoomMember, Shown, Snapshot
from service.protocol.errors import RoomcastError
from service.protocol.identifiers import Position
from tests.brokers.conftest import Nodes, Room, Server
from tests.simulation.broker import ModelBroker
from tests.simulation.network import Weather
from tests.simulation.play import simulated
from tests.simulation.store import Store

pytestmark = pytest.mark.anyio

CALLS = 300
LONG_MS = 60_000  # no grace ends meanwhile
Call = Callable[[Broker, RoomAddress], Any]


def draw(seed: int) -> list[Call]:
    """Random calls of the port for one room; numbers count up, so that messages differ."""
    chance, lives = random.Random(seed), [0] * 8
    return [chance.choice((_publish, _publish, _read, _join, _join, _leave, _show, _list, _end))(chance, number, lives)
            for number in range(CALLS)]  # fmt: skip


def _publish(chance: random.Random, number: int, lives: list[int]) -> Call:
    key = ("alice", str(chance.randrange(number + 1))) if chance.random() < 0.5 else None
    retention, body = Retention(chance.choice((0, 100, 100)), 300), b'"data":%d,"from":null' % number

    async def publish(broker: Broker, address: RoomAddress) -> Publication | RoomcastError:
        done: asyncio.Future[Publication | RoomcastError] = asyncio.get_running_loop().create_future()
        broker.broadcast_to_room(address, body, Origin(f"c{number}"), retention, done.set_result, key)
        return await done

    return publish


def _read(chance: random.Random, number: int, lives: list[int]) -> Call:
    after, before = (chance.choice((None, chance.randrange(number + 1))) for _ in range(2))
    newest, limit = chance.random() < 0.5, chance.randint(1, 3)
    return lambda broker, address: broker.read_history(
        address, after=after, before=before, limit=limit, newest=newest, max_bytes=100_000
    )


def _join(chance: random.Random, number: int, lives: list[int]) -> Call:
    member = chance.randrange(8)
    connection = f"c{member}.{lives[member]}"
    shown = Shown(b"1", b"%d" % chance.randrange(2), chance.random() < 0.3)
    return lambda broker, address: broker.join(address, connection, f"user-{member // 2}", None, shown)


def _leave(chance: random.Random, number: int, lives: list[int]) -> Call:
    member, grace_ms = chance.randrange(8), chance.choice((0, LONG_MS))
    connection = f"c{member}.{lives[member]}"
    if grace_ms:
        lives[member] += 1  # a socket that was lost does not join again

    async def leave(broker: Broker, address: RoomAddress) -> None:
        broker.left(address, connection, grace_ms)

    return leave


def _show(chance: random.Random, number: int, lives: list[int]) -> Call:
    member, state = chance.randrange(8), b"%d" % chance.randrange(3)
    connection = f"c{member}.{lives[member]}"
    return lambda broker, address: broker.set_state(address, connection, state)


def _list(chance: random.Random, number: int, lives: list[int]) -> Call:
    after, limit = chance.choice(("", f"c{chance.randrange(8)}")), chance.randint(1, 5)
    return lambda broker, address: broker.list_members(address, after, limit, 100_000)


def _end(chance: random.Random, number: int, lives: list[int]) -> Call:
    if chance.random() < 0.5:

        async def unwatch(broker: Broker, address: RoomAddress) -> None:
            broker.unwatch(address)

        return unwatch
    return lambda broker, address: broker.forget_history(address)


class Reading:
    """What was answered and told, without what differs by nature: names of epochs, clocks, where sequences begin."""

    def __init__(self) -> None:
        self._epochs: dict[str, int] = {}
        self._sequence = 0

    def plain(self, value: Any) -> Any:
        """The value without them, all through."""
        match value:
            case Position():
                return self._epochs.setdefault(value.epoch, len(self._epochs)), value.offset
            case Publication() | Envelope():
                place = self.plain(Position(value.epoch, value.offset))
                return (place, value.stored, *_rest(value))
            case Snapshot() | PresenceChange():
                by, self._sequence = value.sequence - self._sequence, value.sequence
                listed = value.members if isinstance(value, Snapshot) else value.changes
                return (by if 0 <= by < CALLS else "anew", value.connections, value.users, self.plain(listed))
            case RoomMember():
                return (value.connection, value.user, value.info, value.state)
            case MemberChange():
                return (value.kind, self.plain(value.member), value.was)
            case str() | bytes():
                return value
            case Sequence():
                return [self.plain(each) for each in value]
            case _:
                return value


def _rest(value: Publication | Envelope) -> tuple[Any, ...]:
    if isinstance(value, Publication):
        return value.duplicate, value.members
    return value.origin, value.body


async def play(broker: Broker, calls: list[Call]) -> tuple[Any, Any]:
    """What the calls answered, and what the room was told."""
    address, room = broker.address("T1", "chat"), Room()
    await broker.subscribe(address, room)
    answered = [await call(broker, address) for call in calls]
    await broker.list_members(address, "", 1, 1)
    await asyncio.sleep(0.2)  # what was told is on another connection
    told = [room.messages, room.epochs, room.presence]
    return Reading().plain(answered), Reading().plain(told)


def play_on_model(calls: list[Call]) -> tuple[Any, Any]:
    """The same in virtual time."""
    with simulated() as loop:
        model = ModelBroker("n1", loop, Store(loop.time), Weather(random.Random(0)))

        async def run() -> tuple[Any, Any]:
            living = loop.create_task(model.run())
            while not model.is_ready:
                await asyncio.sleep(0.01)
            found = await play(model.as_broker(), calls)
            living.cancel()
            return found

        try:
            return loop.run_until_complete(run())
        finally:
            loop.clear()


@pytest.mark.parametrize("seed", range(5))
async def test_the_model_answers_and_tells_what_a_real_valkey_does(server: Server, nodes: Nodes, seed: int) -> None:
    calls = draw(seed)
    modelled_answers, modelled_news = await asyncio.to_thread(play_on_model, calls)
    answers, news = await play(await nodes.start(server.url, "n1"), calls)
    assert answers == modelled_answers
    assert news == modelled_news
