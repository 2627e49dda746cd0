"""The states of a live socket: what was exchanged of the close handshake (RFC 6455 7.1).

OPEN ──(we close)──────────────► CLOSING ──(peer's close)──► ENDING ──► LOST
 ├──(peer's close, answered)───────────────────────────────►
 └──(peer broke the protocol: close frame, then FIN)──► FAILING ──(peer's FIN)──► LOST
                 CLOSING, FAILING, ENDING ──(close timeout: abort)──► LOST
"""

from enum import Enum, auto
from typing import Final


class State(Enum):
    """What was exchanged so far; see the picture above."""

    OPEN = auto()
    CLOSING = auto()
    FAILING = auto()
    ENDING = auto()
    LOST = auto()


NEXT: Final[dict[State, frozenset[State]]] = {
    State.OPEN: frozenset({State.CLOSING, State.FAILING, State.ENDING, State.LOST}),
    State.CLOSING: frozenset({State.FAILING, State.ENDING, State.LOST}),
    State.FAILING: frozenset({State.LOST}),
    State.ENDING: frozenset({State.LOST}),
    State.LOST: frozenset(),
}
