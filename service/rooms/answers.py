"""The answers to one connection's commands in one room, in the order of the commands (PROTOCOL.md, "Order").

Publishes of a connection are in flight together; everything else in a room (join, leave, history, signal) waits for
what came before it, and holds up what comes after. So a `Lane` is empty nearly always, and exists only while it isn't.

A publisher's own message may come around before Redis' answers to its earlier commands (they are two sockets) or,
where replicas must have it, to the publish itself: its membership is held, and goes on when the lane has caught up.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from service.rooms.fanout import Subscriber


class Held(Protocol):
    """A membership that waits for its lane."""

    def resume(self) -> None:
        """The lane has caught up: take what was held back."""


class Place:
    """Where the message of a publish with an id stands in its room, as far as it is known.

    reference: how the message names it. answered: from the position to the answer's frame.
    epoch, offset, position: where Redis put it, while it has not come around yet (offset 0: not known).
    awaits_redis: that it comes around is not enough, as its replicas may not have it yet: Redis must answer, too.
    """

    __slots__ = ("answered", "awaits_redis", "epoch", "offset", "position", "reference")

    def __init__(self, reference: int, answered: Callable[[str | None], bytes], awaits_redis: bool = False) -> None:
        self.reference = reference
        self.answered = answered
        self.awaits_redis = awaits_redis
        self.epoch = ""
        self.offset = 0
        self.position: str | None = None


class Answer:
    """One command's answer. `frame` is None until it is known, and empty if nothing is to be sent.

    begin: starts the command; None once started. place: of a publish with an id.
    """

    __slots__ = ("begin", "frame", "is_pipelined", "lane", "place")

    def __init__(self, lane: "Lane", begin: "Begin | None", is_pipelined: bool) -> None:
        self.lane = lane
        self.begin = begin
        self.is_pipelined = is_pipelined
        self.place: Place | None = None
        self.frame: bytes | None = None

    def give(self, frame: bytes) -> None:
        """The answer is known: it leaves as soon as those before it have. Given twice, the first one counts."""
        if self.frame is None:
            self.frame = frame
            self.lane.advance()

    def take_place(self) -> bool:
        """Redis has the message of this publish: if it came around already, or was passed, it is answered now. False:
        it is still to come.
        """
        if self.place is not None:
            self.place.awaits_redis = False
        if self.lane.held is not None:
            self.lane.advance()
        return self.frame is not None

    def give_position(self, position: str | None) -> None:
        """A publish is stored at `position` (None: nothing is kept)."""
        self.give(b"" if self.place is None else self.place.answered(position))


Begin = Callable[[Answer], None]


class Lane:
    """Answers in the order of the commands."""

    __slots__ = ("_answers", "_is_advancing", "_when_empty", "held", "subscriber", "unstarted")

    def __init__(self, subscriber: Subscriber, when_empty: Callable[[], None]) -> None:
        self._answers: deque[Answer] = deque()
        self._when_empty = when_empty
        self._is_advancing = False
        self.subscriber = subscriber
        self.unstarted = 0
        self.held: Held | None = None

    def add(self, begin: Begin, *, is_pipelined: bool = False) -> None:
        """Start a command, now or when its turn comes; its answer is given through `Answer.give`."""
        answer = Answer(self, begin, is_pipelined)
        may_start = not self._answers or (is_pipelined and self.unstarted == 0 and self._answers[0].is_pipelined)
        self._answers.append(answer)
        if may_start and not self._is_advancing:
            self._start(answer)
        else:
            self.unstarted += 1

    def refuse(self, frame: bytes) -> None:
        """A command that was refused at once: its error keeps its place."""
        answer = Answer(self, None, True)
        self._answers.append(answer)
        answer.give(frame)

    def is_next(self, reference: int) -> bool:
        """Whether the answer to publish `reference` may leave now."""
        place = self._answers[0].place if self._answers else None
        return place is not None and place.reference == reference and not place.awaits_redis

    def awaits(self, reference: int) -> bool:
        """Whether the answer to publish `reference` is still to come, behind others or from Redis."""
        return any(
            answer.frame is None and answer.place is not None and answer.place.reference == reference
            for answer in self._answers
        )

    def place(self, position: str | None) -> None:
        """The message of the next publish takes its place in the room: its answer leaves."""
        self._answers[0].give_position(position)

    def pass_offset(
        self, epoch: str | None, offset: int = 0, ended_epochs: Sequence[str] = (), *, is_last: bool = False
    ) -> None:
        """No message of `epoch` up to `offset`, nor any of the ended epochs, will come around any more (None: none at
        all): answer what waits for one. is_last: of another epoch neither, whatever Redis told of it before.
        """
        for answer in list(self._answers):
            place = answer.place
            if place is None or not place.offset:
                continue
            if place.epoch == epoch:
                is_over = place.offset <= offset
            else:
                is_over = epoch is None or is_last or place.epoch in ended_epochs
            if is_over:
                answer.give_position(place.position)

    def pass_before(self, reference: int, epoch: str, offset: int) -> None:
        """The message of publish `reference` came around at this place. Redis took those before it first, be it in an
        epoch that this node never saw: what it told of and has not come around yet will not. A gap passed it.
        """
        for answer in list(self._answers):
            place = answer.place
            if place is None or not place.offset:
                continue
            if place.reference >= reference:
                return
            if place.epoch != epoch or place.offset < offset:
                answer.give_position(place.position)

    def advance(self) -> None:
        """Send what is known, start what may start, and let a held membership go on."""
        if self._is_advancing:
            return
        self._is_advancing = True
        answers = self._answers
        self._send_known()
        if self.unstarted and answers[0].is_pipelined:
            self._start_pipelined()
            self._send_known()
        self._is_advancing = False
        held = self.held
        if held is not None:
            self.held = None
            held.resume()
        if not answers and self.held is None:
            self._when_empty()

    def _send_known(self) -> None:
        answers = self._answers
        while answers:
            head = answers[0]
            if head.begin is not None:
                self.unstarted -= 1
                self._start(head)
            if head.frame is None:
                return
            answers.popleft()
            if head.frame:
                self.subscriber.send(head.frame)

    def _start_pipelined(self) -> None:
        for answer in list(self._answers):
            if not answer.is_pipelined:
                return
            if answer.begin is not None:
                self.unstarted -= 1
                self._start(answer)

    @staticmethod
    def _start(answer: Answer) -> None:
        begin, answer.begin = answer.begin, None
        if begin is not None:
            begin(answer)
