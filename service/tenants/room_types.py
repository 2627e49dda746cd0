"""A tenant's room types: its rules by a room's name or prefix."""

import msgspec


class RoomTypes(msgspec.Struct, frozen=True, eq=False):
    """All room types of one tenant; immutable."""
