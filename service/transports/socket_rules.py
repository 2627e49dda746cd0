"""What a tenant's sockets must keep."""

from dataclasses import dataclass, field

from service.transports.intake import Intake


@dataclass(slots=True, kw_only=True)
class SocketRules:
    """What a tenant's sockets must keep; shared by them all, read anew at each use, so it may be changed in place."""

    max_frame_bytes: int = 65_536 + 8_192
    max_fragments: int = 64
    ping_interval_seconds: float = 25
    pong_timeout_seconds: float = 10
    #: Read once, when a socket is made.
    outbox_max_bytes: int = 1024 * 1024
    #: From our close frame to the peer's answer, and for what is written to leave.
    close_timeout_seconds: float = 5
    #: From the first byte of a frame or message to its last.
    message_timeout_seconds: float = 30
    #: How the tenant's sockets share a turn of the loop.
    intake: Intake = field(default_factory=Intake)
