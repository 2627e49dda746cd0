"""Instants as people write them: RFC 3339."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import msgspec

from service.protocol.errors import Invalid

LAST_INSTANT_MS: Final = 253_402_300_799_999  # RFC 3339 has years of four digits
_Instant = Annotated[datetime, msgspec.Meta(tz=True)]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def read_instant(text: str, path: str) -> int:
    """`2026-11-24T12:00:00Z`, or with another offset from UTC, in Unix milliseconds. Raises Invalid with `path`."""
    try:
        return (msgspec.convert(text, _Instant) - _EPOCH) // timedelta(milliseconds=1)
    except (msgspec.ValidationError, OverflowError):
        raise Invalid("an instant is written as 2026-11-24T12:00:00Z (in a URL, + as %2B)", path) from None


def write_instant(at_ms: int) -> str:
    """Unix milliseconds, up to LAST_INSTANT_MS, as `2026-11-24T12:00:00Z`, cut to the second."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).strftime("%Y-%m-%dT%H:%M:%SZ")
