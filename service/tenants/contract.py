"""A tenant's contract: all of its room types with their schemas, as one thing that has versions."""

import msgspec

from service.tenants.room_types import RoomType


class Contract(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All room types of a tenant by name.

    version: counts the changes of any of them, 0 before the first; None: not said.
    """

    version: int | None = None
    room_types: dict[str, RoomType] = {}
