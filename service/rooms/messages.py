"""What a tenant sends on this node: to a room, to a user, to one connection; and a room's history."""

import asyncio
from functools import partial

from service.brokers.broker import Broker, Origin, Publication, PublicationDone
from service.protocol.errors import RoomcastError
from service.protocol.events import HistoryEvent
from service.rooms.admission import admit, check_fits, check_size, check_value
from service.rooms.budgets import Budgets
from service.rooms.connection import Connection
from service.rooms.history import read_page
from service.rooms.local_rooms import LocalRooms
from service.rooms.membership import Membership
from service.rooms.outgoing import OutgoingMessage
from service.rooms.room import Room
from service.rooms.room_rates import RoomRate
from service.rooms.rules import RoomRules
from service.rooms.schemas import Kind, RoomSchemas
from service.rooms.usage import Usage
from service.tenants.snapshot import TenantSnapshot


class TenantMessages:
    """Its part of `ConnectionManager`."""

    broker: Broker
    tenant: TenantSnapshot
    rooms: LocalRooms
    budgets: Budgets
    usage: Usage
    connections: dict[str, Connection]

    def publish(
        self, room_id: str, message: OutgoingMessage, origin: Origin, done: PublicationDone, key: str | None = None
    ) -> None:
        """Store and announce a message; `done` is called once, later.

        Raises RateLimited, TooLarge, SchemaMismatch at once.
        """
        room = self.rooms.by_name.get(room_id)
        rules, known_members = (
            (self.rooms.rulebook.find(room_id), 0) if room is None else (room.rules, room.members_everywhere)
        )
        if rules.schemas is not None:
            message = self._check("message", message, room_id, rules, rules.schemas)
        rate = admit(message, room_id, known_members, rules, self.rooms.rates, self.budgets)
        if room is None:
            address = self.broker.address(self.tenant.id, room_id)
        else:
            address, room.rate = room.address, rate  # it hears for the one that counts, should another be forgotten
        stored = partial(self._stored, room, known_members, bool(origin.connection), rate, done)
        scope = message.author.user or ""
        idempotency_key = None if key is None else (scope, key)
        self.broker.broadcast_to_room(address, message.body(), origin, rules.retention, stored, idempotency_key)

    def _check(
        self, kind: Kind, message: OutgoingMessage, room: str, rules: RoomRules, schemas: RoomSchemas
    ) -> OutgoingMessage:
        """The message as it goes on. Raises TooLarge, SchemaMismatch."""
        check_fits(message, room, rules)
        data = check_value(schemas, kind, message.name, message.data, room, self.budgets, self.usage)
        return OutgoingMessage(data, message.name, message.author)

    def _stored(
        self,
        room: Room | None,
        known_members: int,
        is_from_client: bool,
        rate: RoomRate | None,
        done: PublicationDone,
        result: Publication | RoomcastError,
    ) -> None:
        """Redis has answered a publish: count it by what is known now. Not a closure: its cells cost 0.4 µs."""
        if isinstance(result, Publication):
            if room is not None:
                room.members_everywhere = result.members
            if result.members > known_members:
                self.budgets.charge_deliveries(result.members - known_members)
            if not result.duplicate:
                if is_from_client:
                    self.usage.messages_websocket += 1
                else:
                    self.usage.messages_http += 1
        if rate is not None and (room is None or isinstance(result, RoomcastError) or result.duplicate):
            rate.ends()
        done(result)

    async def broadcast_to_room(
        self, message: OutgoingMessage, room_id: str, exclude: tuple[str, ...] = (), *, key: str | None = None
    ) -> Publication:
        """Publish and wait for Redis. Raises RateLimited, TooLarge, SchemaMismatch, Unavailable."""
        answer: asyncio.Future[Publication] = asyncio.get_running_loop().create_future()

        def done(result: Publication | RoomcastError) -> None:
            if answer.done():
                return
            if isinstance(result, RoomcastError):
                answer.set_exception(result)
            else:
                answer.set_result(result)

        self.publish(room_id, message, Origin(exclude=exclude), done, key)
        return await answer

    async def signal(self, member: Membership, message: OutgoingMessage, origin: Origin) -> None:
        """Send what is never kept through a member's room.

        Raises RateLimited, TooLarge, SchemaMismatch, Unavailable.
        """
        room, rules = member.room, member.room.rules
        if rules.schemas is not None:
            message = self._check("signal", message, room.name, rules, rules.schemas)
        rate = admit(message, room.name, room.members_everywhere, rules, self.rooms.rates, self.budgets)
        room.rate = rate
        try:
            await self.broker.signal_room(room.address, message.body(), origin)
        except RoomcastError:
            if rate is not None:
                rate.ends()
            raise
        self.usage.messages_websocket += 1

    async def broadcast_to_user(self, message: OutgoingMessage, user_id: str) -> None:
        """Send to all connections of a user, on all nodes, at most once. Raises RateLimited, TooLarge, Unavailable."""
        check_size(message.data, self.tenant.limits.max_message_bytes)
        self.budgets.take_publish(1, None, message.author.user)
        await self.broker.broadcast_to_user(self.tenant.id, user_id, message.body())
        if message.author.connection is not None:
            self.usage.messages_websocket += 1
        else:
            self.usage.messages_http += 1

    def send_personal_message(self, message: OutgoingMessage, connection_id: str) -> bool:
        """Send to one connection of this node; False if it is not here."""
        connection = self.connections.get(connection_id)
        if connection is None:
            return False
        connection.send_direct(message.body())
        return True

    async def history(self, room: str, *, since: str | None, before: str | None, limit: int) -> HistoryEvent:
        """One page of a room's kept messages. Raises Unavailable."""
        local = self.rooms.by_name.get(room)
        address = self.broker.address(self.tenant.id, room) if local is None else local.address
        keeps_history = self.rooms.rules(room).keeps_history
        return await read_page(self.broker, address, since, before, limit, keeps_history=keeps_history)
