"""A load of publishers and subscribers that go on through faults as a good client does, and what they saw.

Publishers send one message at a time, and again with the same key until it is acknowledged; everybody who is cut off
connects to the next node and rejoins with `since`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from service.protocol.events import Closing, ErrorEvent, Gap, Joined, Message, Published, WebSocketEvent
from tests.support.canaries import PAYLOAD
from tests.support.checker import Acknowledged, Delivered, Entered, Kept, Place, Record, Refused, Started, Told
from tests.support.tenants import Tenant
from tests.support.wire_client import Client, Closed
from tests.support.wire_client import Refused as RefusedHandshake

KEPT_MESSAGES = 100  # what a room keeps by default
RETRY_SECONDS = 0.05


class Served(Protocol):
    """A node, or several behind one port."""

    @property
    def address(self) -> str:
        """As http://127.0.0.1:8000."""


def place_of(position: str | None) -> Place:
    """A position's text as (epoch, offset)."""
    assert position is not None
    epoch, _, offset = position.partition(":")
    return epoch, int(offset)


class Participant:
    """A client that is in `rooms`, and stays through every fault."""

    def __init__(self, name: str, tenant: Tenant, nodes: Sequence[Served], rooms: Sequence[str], log: list[Record]):
        self.name = name
        self._tenant = tenant
        self._nodes = list(nodes)
        self._rooms = rooms
        self._log = log
        self._binary = name.endswith(("1", "3"))  # both subprotocols, side by side
        self.client: Client | None = None
        self._away_seconds = RETRY_SECONDS
        self.at: dict[str, Place] = {}
        # Publishes that wait for their answer, by key: their room.
        self.waiting: dict[str, tuple[str, asyncio.Future[None]]] = {}
        self.is_in = asyncio.Event()
        self.moved = asyncio.Event()

    async def live(self) -> None:
        """Connect, listen, and again; until cancelled."""
        while True:
            try:
                token = self._tenant.token(self.name)
                self.client = await Client.open(self._nodes[0].address, token, binary=self._binary)
                await self._join()
                while True:
                    self._take(await self.client.next(60))
            except (Closed, OSError, RefusedHandshake, asyncio.IncompleteReadError):
                self.is_in.clear()
                self._fail_waiting()
                self._nodes.append(self._nodes.pop(0))
                away_seconds, self._away_seconds = self._away_seconds, RETRY_SECONDS
                await asyncio.sleep(away_seconds)

    async def _join(self) -> None:
        assert self.client is not None
        for room in self._rooms:
            since = {"since": "{}:{}".format(*self.at[room])} if room in self.at else {}
            await self.client.sends("join", room=room, id=f"join {room}", **since)
        missing = set(self._rooms)
        while missing:
            event = await self.client.next()
            if isinstance(event, ErrorEvent):
                raise Closed(None)  # Redis is away: begin again
            self._take(event)
            if isinstance(event, Joined):
                missing.remove(event.room)
        self.is_in.set()

    def _take(self, event: WebSocketEvent) -> None:
        match event:
            case Joined():
                self._move(Entered(self.name, event.room, place_of(event.position), event.recovered))
            case Gap():
                self._move(Told(self.name, event.room, place_of(event.to)))
            case Message():
                assert isinstance(event.offset, int)
                assert self.client is not None
                key = self.client.value(event.data)["key"]
                self._move(Delivered(self.name, event.room, key, (self.at[event.room][0], event.offset)))
            case Published():
                place = place_of(event.position)
                if not event.duplicate:
                    self._move(Delivered(self.name, event.room, str(event.id), place))
                self._log.append(Acknowledged(self.name, event.room, str(event.id), place))
                self._answer(str(event.id), stored=True)
            case Closing():
                assert event.reconnect
                self._away_seconds = event.after_ms / 1000
            case ErrorEvent():
                assert isinstance(event.room, str)
                self._log.append(Refused(self.name, event.room, str(event.id), event.code))
                self._answer(str(event.id), stored=False)
            case _:
                raise AssertionError(event)

    def _move(self, record: Entered | Told | Delivered) -> None:
        self._log.append(record)
        if not (isinstance(record, Entered) and record.recovered):
            self.at[record.room] = record.place
        self.moved.set()

    async def publish(self, room: str, key: str) -> None:
        """One message, until it is acknowledged."""
        while True:
            await self.is_in.wait()
            assert self.client is not None
            answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.waiting[key] = (room, answer)
            self._log.append(Started(self.name, room, key))
            try:
                data = {"key": key, "canary": PAYLOAD}
                await self.client.sends("publish", room=room, data=data, key=key, id=key)
                await answer
                return
            except (Closed, OSError):
                self.waiting.pop(key, None)
                await asyncio.sleep(RETRY_SECONDS)

    def _answer(self, key: str, *, stored: bool) -> None:
        if key in self.waiting:
            _, answer = self.waiting.pop(key)
            if stored:
                answer.set_result(None)
            else:
                answer.set_exception(Closed(None))

    def _fail_waiting(self) -> None:
        for key in list(self.waiting):
            self._answer(key, stored=False)

    async def reaches(self, heads: dict[str, Place]) -> None:
        """Wait until it stands at these heads."""
        while any(self.at[room] != head for room, head in heads.items() if room in self.at):
            self.moved.clear()
            await self.moved.wait()


async def converse(
    tenant: Tenant,
    nodes: Sequence[Served],
    faults: Callable[[], Awaitable[None]],
    *,
    rooms: int = 8,
    messages_per_second: float = 200,
) -> list[Record]:
    """Two publishers and two more subscribers for each room, on all nodes, while `faults` happen; what they saw."""
    log: list[Record] = []
    names = [f"room-{number}" for number in range(rooms)]
    publishers = [
        Participant(f"publisher-{number}", tenant, _turned(nodes, number // rooms), [names[number % rooms]], log)
        for number in range(2 * rooms)
    ]
    subscribers = [
        Participant(f"subscriber-{number}", tenant, _turned(nodes, number), names, log) for number in range(4)
    ]
    everybody = [*publishers, *subscribers]
    pause_seconds = len(publishers) / messages_per_second
    enough = asyncio.Event()
    heads: dict[str, Place] = {}

    async def talk(publisher: Participant, room: str) -> None:
        loop = asyncio.get_running_loop()
        number = 0
        due = loop.time()
        while not enough.is_set():
            number += 1
            await publisher.publish(room, f"{publisher.name}/{number}")
            due += pause_seconds
            await asyncio.sleep(max(0.0, due - loop.time()))

    lives = [asyncio.create_task(participant.live()) for participant in everybody]
    await asyncio.gather(*(participant.is_in.wait() for participant in everybody))
    talks = [asyncio.create_task(talk(each, names[number % rooms])) for number, each in enumerate(publishers)]
    try:
        await faults()
        enough.set()
        async with asyncio.timeout(15):
            await asyncio.gather(*talks)
            heads = await _read_histories(tenant, nodes, names, log)
            await asyncio.gather(*(participant.reaches(heads) for participant in everybody))
    except TimeoutError:
        late = {each.name: each.at for each in everybody if each.at != {room: heads.get(room) for room in each.at}}
        raise AssertionError(f"the heads are {heads}, and these did not come so far: {late}") from None
    finally:
        for task in [*talks, *lives]:
            task.cancel()
        ends = await asyncio.gather(*talks, *lives, return_exceptions=True)
        for participant in everybody:
            if participant.client is not None:
                await participant.client.close()
    broken = [end for end in ends if isinstance(end, Exception)]
    assert not broken, broken
    return log


def _turned(nodes: Sequence[Served], by: int) -> list[Served]:
    return [*nodes[by % len(nodes) :], *nodes[: by % len(nodes)]]


async def _read_histories(
    tenant: Tenant, nodes: Sequence[Served], rooms: Sequence[str], log: list[Record]
) -> dict[str, Place]:
    reader = await Client.open(nodes[0].address, tenant.token("reader"))
    heads = {}
    for room in rooms:
        page = await reader.history(room, limit=1000)
        heads[room] = place_of(page.position)
        epoch = heads[room][0]
        log.extend(Kept(room, msgspec.json.decode(item.data)["key"], (epoch, item.offset)) for item in page.messages)
    await reader.close()
    return heads
