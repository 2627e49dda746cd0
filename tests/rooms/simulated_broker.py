"""A broker without Redis: it notes what it is told, and does what a test says, when the test says so."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from service.brokers.broker import Broker, ConnectionEntry, History, RoomAddress, RoomHead, RoomReceiver
from service.brokers.control import TenantSize
from service.brokers.members import NOTHING_SHOWN, Shown, Snapshot
from service.protocol.errors import Unavailable
from service.protocol.events import Gap, Joined
from service.protocol.identifiers import Position
from service.rooms.connection import Connection
from service.rooms.connection_manager import ConnectionManager
from service.rooms.node import Node
from service.tenants.cache import TenantCache
from service.tenants.limits import Limits
from service.tenants.room_types import RoomType, RoomTypes
from service.tenants.snapshot import Change, TenantSnapshot
from tests.rooms.surroundings import EPOCH, Ear

UNAVAILABLE = Unavailable("Redis is out of reach")


class SimulatedBroker:
    """What `rooms/` asks of a broker. `refuses`: calls that fail. `holds`: calls that wait until their event is set."""

    def __init__(self) -> None:
        self.refuses: dict[str, Exception] = {}
        self.holds: dict[str, asyncio.Event] = {}
        self.asked: list[str] = []
        self.claims: set[str] = set()
        self.receivers: dict[str, RoomReceiver] = {}
        self.members: dict[str, set[str]] = {}
        self.is_ready = True
        self.sequence = 1_000_000
        self.shown: dict[tuple[str, str], Shown] = {}
        self.graces: dict[tuple[str, str], int] = {}
        self.unwatched: list[str] = []
        self.most_members: dict[str, int | None] = {}
        self.head = Position(EPOCH, 0)
        self.history = History(Position(EPOCH, 0), 1, 0, (), False)
        self.key_use: dict[tuple[str, str], int] = {}
        self.purges: list[tuple[int, int]] = []
        self.nodes = 1
        self.wanted: dict[str, Sequence[float]] = {}
        self.greedy: set[str] = set()
        self.shares: dict[str, tuple[float, ...]] = {}
        self.size = TenantSize(0, 0)

    def as_broker(self) -> Broker:
        """For what takes a whole one."""
        return cast(Broker, self)

    def hold(self, call: str) -> asyncio.Event:
        """The call waits until the event is set."""
        self.holds[call] = asyncio.Event()
        return self.holds[call]

    async def _ask(self, call: str) -> None:
        self.asked.append(call)
        if (held := self.holds.get(call)) is not None:
            await held.wait()
        else:
            await asyncio.sleep(0)
        if (refusal := self.refuses.get(call)) is not None:
            raise refusal

    def address(self, tenant_id: str, room: str) -> RoomAddress:
        return RoomAddress(tenant_id, room, 0, None)

    async def claim_room(self, address: RoomAddress, max_rooms: int | None) -> int:
        await self._ask("claim_room")
        self.claims.add(address.room)
        return len(self.claims)

    async def release_room(self, address: RoomAddress) -> None:
        self.claims.discard(address.room)

    async def subscribe(self, address: RoomAddress, receiver: RoomReceiver) -> None:
        await self._ask("subscribe")
        self.receivers[address.room] = receiver

    def unsubscribe(self, address: RoomAddress) -> None:
        del self.receivers[address.room]

    async def join(
        self, address: RoomAddress, connection: str, user: str, max_members: int | None, shown: Shown = NOTHING_SHOWN
    ) -> RoomHead:
        self.most_members[address.room] = max_members
        head = self.head  # as Redis tells it: what comes around before the answer may lie behind it
        await self._ask("join")
        self.members.setdefault(address.room, set()).add(connection)
        count = len(self.members[address.room])
        self.shown[address.room, connection] = shown
        return RoomHead(head, count, 1, Snapshot(self.sequence, count, 1) if shown.watches else None)

    def left(self, address: RoomAddress, connection: str, grace_ms: int = 0) -> None:
        self.members.get(address.room, set()).discard(connection)
        self.graces[address.room, connection] = grace_ms

    def set_info(self, address: RoomAddress, connection: str, info: bytes) -> None:
        shown = self.shown[address.room, connection]
        self.shown[address.room, connection] = shown._replace(info=info)

    async def set_state(self, address: RoomAddress, connection: str, state: bytes) -> bool:
        await self._ask("set_state")
        if connection not in self.members.get(address.room, ()):
            return False
        self.shown[address.room, connection] = self.shown[address.room, connection]._replace(state=state)
        return True

    async def watch(self, address: RoomAddress) -> Snapshot:
        await self._ask("watch")
        return Snapshot(self.sequence, len(self.members.get(address.room, ())), 1)

    def unwatch(self, address: RoomAddress) -> None:
        self.unwatched.append(address.room)

    async def leave(self, address: RoomAddress, connection: str) -> None:
        self.left(address, connection)

    async def read_history(self, address: RoomAddress, **_bounds: Any) -> History:
        await self._ask("read_history")
        return self.history

    def note_rooms(self, tenant_id: str, connection: str, rooms: tuple[str, ...]) -> None:
        pass

    def disconnected(self, tenant_id: str, connection: str, user: str) -> None:
        pass

    def note_key_use(self, tenant_id: str, connections: Mapping[str, int]) -> None:
        self.key_use.update({(tenant_id, kid): count for kid, count in connections.items()})

    async def key_connections(self, tenant_id: str) -> dict[str, int]:
        await self._ask("key_connections")
        return {kid: count for (tenant, kid), count in self.key_use.items() if tenant == tenant_id and count}

    async def purge_tenant(self, tenant_id: str, cursor: int = 0) -> tuple[int, int]:
        await self._ask("purge_tenant")
        return self.purges.pop(0) if self.purges else (0, 0)

    async def measure_tenant(self, tenant_id: str) -> TenantSize:
        await self._ask("measure_tenant")
        return self.size

    def node_count(self) -> int:
        return self.nodes

    async def divide_rates(
        self, nodes: int, wanted: Mapping[str, Sequence[float]], greedy: Collection[str], least: Sequence[float]
    ) -> dict[str, tuple[float, ...]]:
        await self._ask("divide_rates")
        self.wanted, self.greedy = dict(wanted), set(greedy)
        return self.shares


class Changes:
    """The tenants' cache: what the next look finds."""

    def __init__(self) -> None:
        self.found: Change | Exception | None = None

    async def reload(self, tenant_id: str) -> Change | None:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


class SimulatedNode(Node):
    """A node on a simulated broker, with one tenant."""

    broker: SimulatedBroker  # type: ignore[assignment]

    def __init__(self) -> None:
        self.changes = Changes()
        super().__init__("n1", SimulatedBroker().as_broker(), cast(TenantCache, self.changes))

    @property
    def tenant_manager(self) -> ConnectionManager:
        """The one tenant's."""
        return self.manager(tenant())

    def connect(self, name: str) -> Connection:
        """A connection that is open."""
        entry = ConnectionEntry(name, name, "n1", 0, "")
        connection = Connection(Ear(), entry, max_held_bytes=100_000)
        self.tenant_manager.connect(connection)
        return connection

    async def join(self, connection: Connection, room: str = "chat", since: Position | None = None) -> list[Joined]:
        """Join, and what was answered."""
        answers: list[Joined] = []

        def joined(event: Joined, _gap: Gap | None) -> None:
            answers.append(event)

        await self.tenant_manager.join_room(connection, room, since, joined)
        return answers


def tenant(
    version: int = 1, *, active: bool = True, limits: Limits | None = None, **room_types: RoomType
) -> TenantSnapshot:
    """The tenant at a version, with room types by name."""
    return TenantSnapshot("t1", "acme", active, limits or Limits(), (), {}, {}, version, RoomTypes(room_types))


def ear(connection: Connection) -> Ear:
    """What a connection was sent."""
    return cast(Ear, connection.subscriber)


async def turns(count: int = 10) -> None:
    """Let all go on that can."""
    for _ in range(count):
        await asyncio.sleep(0)
