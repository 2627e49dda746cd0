"""One example or more of every command and event, as Structs: what the published documents show.

A test holds each against its own schema, and sees that none is missing.
"""

from typing import Any, Final

import msgspec
from msgspec import Raw

from service.protocol import commands, events

_HELLO: Final = Raw(b'{"text":"hello"}')
_ONLINE: Final = Raw(b'{"status":"online"}')
_ROOM: Final = "chat:42"
_POSITION: Final = "xK3d:17"
_NOW_MS: Final = 1_764_000_000_000
_CONNECTION: Final = "c9W4mK1rT0aZpL3x"
_ALICE: Final = events.Sender(user="alice", connection=_CONNECTION)
_MEMBER: Final = events.Member(
    user="alice", connection=_CONNECTION, info=Raw(b'{"name":"Alice"}'), state=_ONLINE, joined_at_ms=_NOW_MS
)
_TWO: Final = events.Occupancy(connections=2, users=2)
_KEPT: Final = events.HistoryItem(offset=17, name="said", data=_HELLO, time_ms=_NOW_MS, from_=_ALICE)
_LIMITS: Final = events.WelcomeLimits(
    max_message_bytes=65_536,
    max_frame_bytes=73_728,
    max_state_bytes=1_024,
    max_rooms_per_connection=100,
    commands_per_second=50,
    commands_burst=100,
)

EXAMPLES: Final[tuple[msgspec.Struct, ...]] = (
    # Commands.
    commands.Authenticate(id="a1", token="header.payload.signature"),  # noqa: S106
    commands.Join(id=1, room=_ROOM),
    commands.Join(id=2, room=_ROOM, since=_POSITION, watch=True, state=_ONLINE),
    commands.Leave(id=3, room=_ROOM),
    commands.Publish(id=4, room=_ROOM, name="said", data=_HELLO, key="m-4711"),
    commands.Signal(room=_ROOM, name="typing", data=Raw(b"true")),
    commands.Send(id=5, user="bob", name="invited", data=Raw(b'{"room":"chat:42"}')),
    commands.SetState(id=6, room=_ROOM, state=Raw(b'{"status":"away"}')),
    commands.Members(id=7, room=_ROOM, limit=50),
    commands.History(id=8, room=_ROOM, since="xK3d:10"),
    commands.Ping(id=9),
    # Events that nobody asked for.
    events.Welcome(
        version=1,
        connection=_CONNECTION,
        user="alice",
        tenant="acme",
        node="n7Qx2Lw8",
        expires_at_ms=_NOW_MS + 3_600_000,
        ping_interval_seconds=25.0,
        features=["history", "join", "members", "publish", "set_state", "state", "watch"],
        limits=_LIMITS,
    ),
    events.Message(room=_ROOM, offset=17, name="said", data=_HELLO, time_ms=_NOW_MS, from_=_ALICE),
    events.Message(room="news", name="posted", data=_HELLO, time_ms=_NOW_MS, from_=None),
    events.SignalEvent(room=_ROOM, name="typing", data=Raw(b"true"), from_=_ALICE),
    events.Direct(name="invited", data=Raw(b'{"room":"chat:42"}'), from_=_ALICE),
    events.Presence(room=_ROOM, joined=[_MEMBER], changed=[], left=[], occupancy=_TWO),
    events.OccupancyEvent(room="stadium", connections=1_200, users=1_150),
    events.Gap(room=_ROOM, from_="xK3d:3", to=_POSITION, reason="expired"),
    events.Expiring(in_seconds=60),
    events.Closing(code=1012, reason="the node restarts", reconnect=True, after_ms=700),
    # Replies; `left` and `error` also come unasked.
    events.ErrorEvent(id=4, code="forbidden", message="the token does not give publish here", room=_ROOM),
    events.ErrorEvent(
        id=4,
        code="rate_limited",
        message="the connection is over commands_per_second: try again in 20 ms",
        limit="commands_per_second",
        scope="connection",
        retry_after_ms=20,
    ),
    events.Left(id=3, room=_ROOM, reason="asked"),
    events.Left(room=_ROOM, reason="rights"),
    events.Authenticated(id="a1", expires_at_ms=_NOW_MS + 3_600_000),
    events.Joined(id=1, room=_ROOM, position=_POSITION, recovered=None, occupancy=_TWO),
    events.Joined(id=2, room=_ROOM, position=_POSITION, recovered=True, occupancy=_TWO, members=[_MEMBER]),
    events.Published(id=4, room=_ROOM, position="xK3d:18", duplicate=False),
    events.Signalled(id="s1", room=_ROOM),
    events.Sent(id=5, user="bob"),
    events.StateSet(id=6, room=_ROOM),
    events.MembersEvent(id=7, room=_ROOM, members=[_MEMBER], occupancy=_TWO),
    events.HistoryEvent(id=8, room=_ROOM, messages=[_KEPT], position=_POSITION, more=False, complete=True),
    events.Pong(id=9, time_ms=_NOW_MS),
)


def examples_by_struct() -> dict[str, list[Any]]:
    """The examples as they travel in JSON, by the name of their Struct, which is also that of its component."""
    found: dict[str, list[Any]] = {}
    for example in EXAMPLES:
        found.setdefault(type(example).__name__, []).append(msgspec.json.decode(msgspec.json.encode(example)))
    return found
