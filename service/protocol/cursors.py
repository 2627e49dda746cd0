"""Opaque cursors of lists: where the next page begins, bound to the tenant and the query that it was made for.

A cursor is no secret and gives no right: one that is made up only begins its own tenant's list elsewhere. The binding
is there so that a cursor of another tenant, list or prefix is refused, instead of skipping what lies before it.
"""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from service.protocol.errors import Invalid

_BINDING_BYTES: Final = 12
_MAX_CHARACTERS: Final = 512  # the longest room name takes 283


def write_cursor(tenant_id: str, query: str, after: str) -> str:
    """The cursor of the page behind `after`; `query` is all that decides what the list holds, the page's size apart."""
    return urlsafe_b64encode(_binding(tenant_id, query, after) + after.encode()).rstrip(b"=").decode()


def read_cursor(tenant_id: str, query: str, cursor: str) -> str:
    """The `after` that `write_cursor` was given. Raises Invalid (`$.cursor`) for a cursor of anything else."""
    try:
        decoded = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)) if len(cursor) <= _MAX_CHARACTERS else b""
        after = decoded[_BINDING_BYTES:].decode()
    except ValueError:
        after = ""
    if not after or write_cursor(tenant_id, query, after) != cursor:
        raise Invalid("this is no cursor of this list; begin again without one", "$.cursor")
    return after


def _binding(tenant_id: str, query: str, after: str) -> bytes:

    return hashlib.sha256(f"{tenant_id}\0{query}\0{after}".encode()).digest()[:_BINDING_BYTES]
