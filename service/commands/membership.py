"""`join` and `leave`."""

from msgspec import UNSET

from service.brokers.members import Shown
from service.commands.session import Session
from service.protocol.codec import event_frame
from service.protocol.commands import Join, Leave
from service.protocol.events import Gap, Joined, Left
from service.protocol.identifiers import parse_position
from service.rooms.answers import Answer


async def join(session: Session, command: Join, answer: Answer) -> None:
    """Make the connection a member. The answer is followed by what was missed, then by live messages."""
    state = b""
    if command.watch or command.state is not UNSET:
        session.grant.check("presence", command.room)
        session.manager.check_presence(command.room)
    if command.state is not UNSET:
        state = session.manager.check_state(bytes(command.state), command.room)

    def joined(event: Joined, gap: Gap | None) -> None:
        frame = session.reply_frame(command.id, event)
        answer.give(frame if gap is None else frame + event_frame(gap, session.subscriber.binary))

    since = None if command.since is UNSET else parse_position(command.since)
    shown = Shown(session.info, state, command.watch)
    await session.manager.join_room(session, command.room, since, joined, shown)
    session.leave_forbidden_rooms()  # a token that came during the join may allow less


async def join_claimed(session: Session, room: str, answer: Answer) -> None:
    """Join a room that the token names in its claim `join`: `joined` comes although nobody asked."""

    def joined(event: Joined, _gap: Gap | None) -> None:
        answer.give(event_frame(event, session.subscriber.binary))

    await session.manager.join_room(session, room, None, joined, Shown(session.info))
    session.leave_forbidden_rooms()


async def leave(session: Session, command: Leave, _answer: Answer) -> Left:
    """End a membership; a room that was not joined is left all the same."""
    await session.manager.leave_room(session, command.room)
    return Left(room=command.room, reason="asked")
