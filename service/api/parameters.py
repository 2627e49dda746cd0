"""The parameters of paths and queries, checked and described once."""

from typing import Annotated, Final

from litestar.params import PathParameter, QueryParameter

from service.protocol.administration import KEY_ID_PATTERN, KID_PATTERN, ROOM_TYPE_NAME_PATTERN
from service.protocol.identifiers import (
    CONNECTION_PATTERN,
    POSITION_PATTERN,
    ROOM_PATTERN,
    TENANT_PATTERN,
    USER_PATTERN,
)

_DATE_TIME: Final = {"format": "date-time"}

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
TenantInPath = Annotated[str, PathParameter(pattern=TENANT_PATTERN, description="A tenant's name.")]
KeyIdInPath = Annotated[str, PathParameter(pattern=KEY_ID_PATTERN, description="An API key's id, as it stands in it.")]
NodeInPath = Annotated[
    str, PathParameter(pattern=r"^[A-Za-z0-9_-]{1,64}$(?!\n)", description="A node's name, as `GET /v1/nodes` has it.")
]
KidInPath = Annotated[str, PathParameter(pattern=KID_PATTERN, description="A signing key's `kid`.")]
RoomTypeInPath = Annotated[str, PathParameter(pattern=ROOM_TYPE_NAME_PATTERN, description="A room type's name.")]
NamePrefix = Annotated[
    str,
    QueryParameter(
        name="prefix",
        pattern=r"^[a-z0-9-]{0,63}$(?!\n)",
        description="What the names of the listed tenants begin with.",
    ),
]
From = Annotated[
    str | None,
    QueryParameter(name="from", schema_extra=_DATE_TIME, description="The instant from which on, in RFC 3339's form."),
]
To = Annotated[
    str | None,
    QueryParameter(name="to", schema_extra=_DATE_TIME, description="The instant before which, in RFC 3339's form."),
]
Breaking = Annotated[bool, QueryParameter(description="Whether changes that break clients are meant.")]
Reconnect = Annotated[bool, QueryParameter(description="Whether the client is told to come back.")]
