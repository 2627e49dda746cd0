"""The parameters of paths and queries, checked and described once."""

from typing import Annotated

from litestar.params import PathParameter, QueryParameter

from service.protocol.identifiers import CONNECTION_PATTERN, POSITION_PATTERN, ROOM_PATTERN, USER_PATTERN

RoomInPath = Annotated[str, PathParameter(pattern=ROOM_PATTERN, description="A room's name.")]
UserInPath = Annotated[str, PathParameter(pattern=USER_PATTERN, description="A user, as the tenant names it.")]
ConnectionInPath = Annotated[str, PathParameter(pattern=CONNECTION_PATTERN, description="A connection's id.")]

Limit = Annotated[int, QueryParameter(ge=1, le=1000, description="How many items a page has at most.")]
Cursor = Annotated[
    str | None, QueryParameter(description="`next_cursor` of the page before, for the same tenant and query.")
]
Since = Annotated[
    str | None,
    QueryParameter(pattern=POSITION_PATTERN, description="The position after which to begin, `epoch:offset`."),
]
Before = Annotated[
    str | None,
    QueryParameter(pattern=POSITION_PATTERN, description="The position before which to end, `epoch:offset`."),
]
Prefix = Annotated[
    str,
    QueryParameter(
        pattern=r"^[A-Za-z0-9_\-=@,.;:]{0,200}$(?!\n)", description="What the names of the listed rooms begin with."
    ),
]
Reconnect = Annotated[bool, QueryParameter(description="Whether the client is told to come back.")]
