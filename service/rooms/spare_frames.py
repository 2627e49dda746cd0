"""Frames that a slow socket may do without (the policies `drop_oldest` and `latest_by_name`), and the gaps for them.

A `SpareFrame` is bytes like any other frame, so that an outbox which is not full treats all alike; only one that has
more than its limit looks for them.
"""

from collections.abc import Sequence
from typing import NamedTuple

from service.protocol.codec import event_frame
from service.protocol.events import Gap
from service.telemetry import counters


class Span(NamedTuple):
    """Messages of one room after offset `before` up to offset `last`."""

    room: str
    epoch: str
    before: int
    last: int
    is_stored: bool

    def gap(self) -> Gap:
        """What tells the client that they are gone."""
        if not self.is_stored:
            return Gap(room=self.room, from_=None, to=None, reason="slow")
        return Gap(room=self.room, from_=f"{self.epoch}:{self.before}", to=f"{self.epoch}:{self.last}", reason="slow")


class SpareFrame(bytes):
    """A ready frame, or several joined, that may be left out; shared by all sockets of one subprotocol.

    span: the message that it is, or those for which it is the `gap`; None: a signal, which goes without a word.
    name: a later message of the same name makes it needless; None: only its age counts.
    parts: the frames that were joined in it.
    """

    binary: bool
    is_gap: bool
    span: Span | None
    name: bytes | None
    parts: Sequence[bytes]

    @classmethod
    def make(
        cls, frame: bytes, binary: bool, span: Span | None, name: bytes | None = None, *, is_gap: bool = False
    ) -> "SpareFrame":
        """Of one frame."""
        spare = cls(frame)
        spare.binary, spare.span, spare.name, spare.is_gap, spare.parts = binary, span, name, is_gap, ()
        return spare


def join_frames(frames: Sequence[bytes]) -> bytes:
    """Frames as one, which can be taken apart again if the last one is a spare one."""
    joined = b"".join(frames)
    if type(frames[-1]) is bytes:
        return joined
    spare = SpareFrame.make(joined, False, None)
    spare.parts = frames
    return spare


def is_any_spare(waiting: bytes | list[bytes] | None) -> bool:
    """Whether an outbox could leave out anything."""
    return any(type(frame) is SpareFrame for frame in (waiting if isinstance(waiting, list) else (waiting,)))


def thin(waiting: Sequence[bytes], goal_bytes: int) -> list[bytes]:
    """What is left of an outbox without messages that others of their name follow, and then without the oldest ones,
    until no more than `goal_bytes` wait, or nothing spare does. A `gap` stands where messages stood.
    """
    frames: list[bytes] = []
    for frame in waiting:
        frames += (type(frame) is SpareFrame and frame.parts) or (frame,)
    left_out = _superseded(frames)
    excess = sum(map(len, frames)) - sum(len(frames[index]) for index in left_out) - goal_bytes
    for index, frame in enumerate(frames):
        if excess <= 0:
            break
        if type(frame) is SpareFrame and not frame.is_gap and index not in left_out:
            left_out.add(index)
            excess -= len(frame)
    counters.slow_drops += len(left_out)
    return _with_gaps(frames, left_out)


def _superseded(frames: Sequence[bytes]) -> set[int]:
    """Which frames a later one of the same room and name makes needless."""
    later: set[tuple[str, bytes]] = set()
    found: set[int] = set()
    for index in range(len(frames) - 1, -1, -1):
        frame = frames[index]
        if type(frame) is SpareFrame and frame.name is not None and frame.span is not None:
            what = (frame.span.room, frame.name)
            if what in later:
                found.add(index)
            later.add(what)
    return found


def _with_gaps(frames: Sequence[bytes], left_out: set[int]) -> list[bytes]:
    """The frames that are not left out, and one gap for what stood between two of them in each room.

    A gap is never drawn out over what is no spare frame: that may be a `joined` or `published` of the same room.
    """
    kept: list[bytes] = []
    gaps: dict[int, tuple[Span, bool]] = {}  # by their place in `kept`
    open_gaps: dict[str, int] = {}
    for index, frame in enumerate(frames):
        if type(frame) is not SpareFrame:
            open_gaps.clear()
        elif (span := frame.span) is not None and (frame.is_gap or index in left_out):
            place = open_gaps.get(span.room)
            before = None if place is None else gaps[place][0]
            if place is not None and before is not None and _continues(span, before):
                gaps[place] = (before._replace(last=span.last), frame.binary)
                continue
            open_gaps[span.room] = len(kept)
            gaps[len(kept)] = (span, frame.binary)
        elif index in left_out:
            continue
        elif span is not None:
            open_gaps.pop(span.room, None)
        kept.append(frame)
    for place, (span, binary) in gaps.items():
        kept[place] = SpareFrame.make(event_frame(span.gap(), binary), binary, span, is_gap=True)
    counters.gaps += len(gaps) - sum(type(frame) is SpareFrame and frame.is_gap for frame in frames)
    return kept


def _continues(span: Span, before: Span) -> bool:
    return span.epoch == before.epoch and span.is_stored == before.is_stored
