"""Frames as a client sends them."""

import os
from struct import pack

from websockets.utils import apply_mask


def masked_frame(payload: bytes, opcode: int, *, is_final: bool = True) -> bytes:
    """A client's frame (RFC 6455, section 5.2)."""
    first = opcode | (0x80 if is_final else 0)
    size = len(payload)
    large = pack("!BBH", first, 0x80 | 126, size) if size < 65_536 else pack("!BBQ", first, 0x80 | 127, size)
    mask = os.urandom(4)
    return (pack("!BB", first, 0x80 | size) if size < 126 else large) + mask + apply_mask(payload, mask)
