"""`authenticate`: a newer token for the same tenant and user, without a new connection."""

import time

from service.commands.session import Session
from service.protocol.commands import Authenticate
from service.protocol.errors import Forbidden
from service.protocol.events import Authenticated
from service.rooms.answers import Answer
from service.tenants.tokens import claimed_tenant, verify_token


def authenticate(session: Session, command: Authenticate, answer: Answer) -> None:
    """Put a newer token in force, at once, so that the next command has its rights. A failure leaves the old one.

    Raises Unauthenticated, and Forbidden for a token of another user or tenant.
    """
    if claimed_tenant(command.token) != session.manager.tenant.name:
        # Unverified: a forged one is answered the same, so nothing is told of that tenant.
        raise Forbidden("the token is another tenant's")
    grant = verify_token(session.manager.tenant, command.token, time.time_ns() // 1_000_000)
    if grant.user != session.user:
        raise Forbidden("the token is another user's")
    session.take_grant(grant)
    session.leave_forbidden_rooms()
    answer.give(session.reply_frame(command.id, Authenticated(expires_at_ms=grant.expires_at_ms)))
