"""`authenticate`: a newer token for the same tenant and user, without a new connection."""

import time
from collections.abc import Coroutine
from typing import Any

from service.commands.session import Session
from service.protocol.commands import Authenticate
from service.protocol.errors import Forbidden
from service.protocol.events import Authenticated, Left
from service.rooms.answers import Answer
from service.tenants.claims import Grant
from service.tenants.tokens import verify_token


def authenticate(session: Session, command: Authenticate, _answer: Answer) -> Coroutine[Any, Any, Authenticated]:
    """Put a newer token in force, at once, so that the next command has its rights. A failure leaves the old one.

    Raises Unauthenticated, and Forbidden for another user's token (another tenant's is under no key of this one).
    """
    grant = verify_token(session.manager.tenant, command.token, time.time_ns() // 1_000_000)
    if grant.user != session.user:
        raise Forbidden("the token is another user's")
    session.take_grant(grant)
    return _leave_forbidden_rooms(session, grant)


async def _leave_forbidden_rooms(session: Session, grant: Grant) -> Authenticated:
    for room in [name for name in session.rooms if not grant.allows(name, "join")]:
        session.send_event(Left(room=room, reason="rights"))
        await session.manager.leave_room(session, room)
    return Authenticated(expires_at_ms=grant.expires_at_ms)
