"""`publish`, `signal`, `send` and `history`."""

from functools import partial

from msgspec import UNSET, UnsetType

from service.brokers.broker import Origin, Publication, PublicationDone
from service.commands.session import Session
from service.protocol.commands import History, Publish, Send, Signal
from service.protocol.errors import Forbidden, NotJoined, RoomcastError
from service.protocol.events import HistoryEvent, Published, Sent, Signalled
from service.rooms.answers import Answer, Place
from service.rooms.outgoing import OutgoingMessage


def publish(session: Session, command: Publish, answer: Answer) -> None:
    """Store and announce a message.

    Who has joined the room gets `published` when the message passes there (ARCHITECTURE.md, decision 10), others
    when Redis has it; where replicas must have it, too, both must have happened. Raises RateLimited, TooLarge.
    """
    room = command.room
    place: Place | None = None
    if command.id is not UNSET:
        session.reference += 1
        awaits_redis = session.manager.rooms.rulebook.is_replicated(room)
        answer.place = place = Place(session.reference, partial(_published, session, command), awaits_redis)

    def done(result: Publication | RoomcastError) -> None:
        if isinstance(result, RoomcastError):
            answer.give(session.error_frame(result, command.id, room))
        elif place is None:
            answer.give(b"")
        else:
            _take_place(session, command, answer, place, result)

    _send_to_room(session, command, 0 if place is None else place.reference, done)


def needs_no_place(session: Session, room: str) -> bool:
    """Whether a publish without id may go without a place among the answers: no other is outstanding in its room, and
    what follows it there finds it in Redis (for replicas it goes another way than the rest).
    """
    return session.lane_of(room) is None and not session.manager.rooms.rulebook.is_replicated(room)


def publish_unanswered(session: Session, command: Publish) -> None:
    """The same without an id, where it `needs_no_place`: a third of a publish's cost. Only a refusal is told."""
    try:
        session.grant.check("publish", command.room)
        _send_to_room(session, command, 0, partial(_tell_refusal, session, command.room))
    except RoomcastError as error:
        _tell_refusal(session, command.room, error)
    except Exception as error:
        _tell_refusal(session, command.room, session.internal_error(error))


def _send_to_room(session: Session, command: Publish, reference: int, done: PublicationDone) -> None:
    message = OutgoingMessage(bytes(command.data), _name(command.name), session.author)
    key = None if command.key is UNSET else command.key
    session.manager.publish(command.room, message, Origin(session.id, reference, command.echo), done, key)


def _tell_refusal(session: Session, room: str, result: Publication | RoomcastError) -> None:
    if isinstance(result, RoomcastError):
        session.subscriber.send(session.error_frame(result, UNSET, room))


def _take_place(session: Session, command: Publish, answer: Answer, place: Place, stored: Publication) -> None:
    """Redis has the message: answer now, or when it comes around."""
    position = str(stored.position) if stored.stored else None
    member = session.rooms.get(command.room)
    if stored.duplicate:
        answer.give(_published(session, command, position, duplicate=True))
        return
    place.epoch, place.offset, place.position = stored.epoch, stored.offset, position
    if answer.take_place():
        return
    if member is None or not member.awaits(stored.position):
        answer.give_position(position)
    else:
        member.room.expect(stored.position)


def _published(session: Session, command: Publish, position: str | None, duplicate: bool = False) -> bytes:
    reply = Published(room=command.room, position=position, duplicate=duplicate)
    return session.reply_frame(command.id, reply)


async def signal(session: Session, command: Signal, _answer: Answer) -> Signalled:
    """Send through a joined room what is never kept."""
    member = session.rooms.get(command.room)
    if member is None:
        raise NotJoined(command.room)
    message = OutgoingMessage(bytes(command.data), _name(command.name), session.author)
    await session.manager.signal(member, message, Origin(session.id, 0, command.echo))
    return Signalled(room=command.room)


async def send(session: Session, command: Send, _answer: Answer) -> Sent:
    """Send to all connections of one user, at most once."""
    if not session.grant.send:
        raise Forbidden("the token does not have the claim send")
    message = OutgoingMessage(bytes(command.data), _name(command.name), session.author)
    await session.manager.broadcast_to_user(message, command.user)
    return Sent(user=command.user)


async def history(session: Session, command: History, _answer: Answer) -> HistoryEvent:
    """One page of a room's kept messages."""
    return await session.manager.history(
        command.room,
        since=None if command.since is UNSET else command.since,
        before=None if command.before is UNSET else command.before,
        limit=command.limit,
    )


def _name(name: str | UnsetType) -> str | None:
    return None if isinstance(name, UnsetType) else name
