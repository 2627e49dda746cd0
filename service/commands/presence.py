"""`set_state` and `members`."""

from msgspec import UNSET

from service.commands.session import Session
from service.protocol.commands import Members, SetState
from service.protocol.errors import NotJoined
from service.protocol.events import MembersEvent, StateSet
from service.rooms.answers import Answer


async def set_state(session: Session, command: SetState, _answer: Answer) -> StateSet:
    """Change one's own state in a joined room."""
    member = session.rooms.get(command.room)
    if member is None:
        raise NotJoined(command.room)
    await session.manager.set_state(member, bytes(command.state))
    return StateSet(room=command.room)


async def members(session: Session, command: Members, _answer: Answer) -> MembersEvent:
    """One page of who is in a room."""
    cursor = None if command.cursor is UNSET else command.cursor
    return await session.manager.members(command.room, cursor, command.limit, session)
