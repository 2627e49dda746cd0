"""When to come back: the table "Close codes" of docs/PROTOCOL.md, refusals at the door, and the backoff. Pure."""

import random
from dataclasses import dataclass
from typing import Final

from roomcast_client.errors import RoomcastError
from roomcast_client.events import Closing

UNAUTHENTICATED: Final = 4401
_GOING: Final = (1001, 1012)
_FOR_GOOD: Final = (1000, 1002, 1003, 1007, 1008, 1009)
_KNOWN_44XX: Final = (4401, 4408, 4429, 4450)
# 404 and the like may come from something in between while the server is away; these are said of the request itself.
_REFUSED_FOR_GOOD: Final = (400, 403, 426, 431)


@dataclass(frozen=True)
class Backoff:
    """Full jitter: uniform in [0, min(max, first * 2^tries)), so that a crowd comes back spread out."""

    first_seconds: float = 0.5
    max_seconds: float = 30.0

    def delay(self, tries: int) -> float:
        """How long to wait before the next try, in seconds; `tries` have failed before."""
        return random.random() * min(self.max_seconds, self.first_seconds * 2.0 ** min(tries, 32))  # noqa: S311


@dataclass(frozen=True)
class Return:
    """What to do after a connection: come back or not; where the server said when, not earlier.

    backs_off: whether the backoff's delay counts, too. needs_token: the token is not good any more.
    """

    comes_back: bool
    after_seconds: float = 0.0
    backs_off: bool = True
    needs_token: bool = False
    why: str = ""


def after_close(code: int | None, closing: Closing | None) -> Return:
    """What a close means; `closing` came before it, `code` is None without a close frame."""
    needs_token = UNAUTHENTICATED in (code, closing.code if closing is not None else None)
    if closing is not None:
        why = f"closed with {closing.code}: {closing.reason}"
        after_seconds = closing.after_ms / 1000
        return Return(closing.reconnect, after_seconds, closing.code not in _GOING, needs_token, why)
    is_unknown_44xx = code is not None and 4400 <= code < 4500 and code not in _KNOWN_44XX
    return Return(code not in _FOR_GOOD and not is_unknown_44xx, needs_token=needs_token, why=f"closed with {code}")


def after_refusal(error: RoomcastError) -> Return:
    """What an HTTP answer instead of a connection means."""
    after_seconds = (error.retry_after_ms or 0) / 1000
    comes_back = error.status not in _REFUSED_FOR_GOOD
    return Return(comes_back, after_seconds, needs_token=error.status == 401, why=f"refused: {error.message}")
