"""The order of one hash tag's commands, whatever a moving slot answers."""

import asyncio
from collections import deque
from functools import partial
from typing import Any, cast

import pytest

from service.brokers.cluster_routes import Redirected, Route, ShardConnection
from service.brokers.resp import Done
from tests.brokers.node_listener import until

pytestmark = pytest.mark.anyio


class Primary:
    """A connection to a server that answers as the test says."""

    is_open = True

    def __init__(self) -> None:
        self.waiting: deque[tuple[bytes, Done]] = deque()
        self.changed = asyncio.Event()

    def send(self, packed: bytes, done: Done) -> None:
        self.waiting.append((packed, done))
        self.changed.set()

    insist = send

    def answer(self, reply: Any) -> bytes:
        packed, done = self.waiting.popleft()
        done(reply)
        return packed

    async def until_sent(self, *commands: bytes) -> None:
        await until(lambda: [packed for packed, _ in self.waiting] == list(commands), self.changed)


class Tag:
    """A route, and what was answered to its commands."""

    def __init__(self) -> None:
        self.doubts = 0
        self.answers: list[tuple[bytes, str]] = []
        self.changed = asyncio.Event()
        self.route = Route(self._doubt)
        self.primary = self.lead()

    def _doubt(self) -> None:
        self.doubts += 1

    def lead(self, *, begins_anew: bool = False) -> Primary:
        self.primary = Primary()
        self.route.lead_to(cast(ShardConnection, self.primary), begins_anew=begins_anew)
        return self.primary

    def send(self, *commands: bytes, insist: bool = False) -> None:
        for packed in commands:
            (self.route.insist if insist else self.route.send)(packed, partial(self._note, packed))

    def _note(self, packed: bytes, reply: object) -> None:
        self.answers.append((packed, reply if isinstance(reply, str) else type(reply).__name__))
        self.changed.set()


@pytest.fixture
async def tag(anyio_backend: str) -> Tag:
    return Tag()


async def test_redirected_commands_are_sent_again_in_their_order_the_first_one_alone(tag: Tag) -> None:
    tag.send(b"1", b"2", b"3")
    for _ in range(3):
        tag.primary.answer(Redirected())
    tag.send(b"4")
    assert tag.answers == []
    target = tag.lead()
    await target.until_sent(b"1")
    target.answer("one")
    await target.until_sent(b"2", b"3", b"4")
    for reply in ("two", "three", "four"):
        target.answer(reply)
    assert tag.answers == [(b"1", "one"), (b"2", "two"), (b"3", "three"), (b"4", "four")]


async def test_a_command_that_was_overtaken_is_refused_before_that_one_is_answered(tag: Tag) -> None:
    tag.send(b"1", b"2")
    tag.primary.answer(Redirected())
    tag.send(b"3")
    tag.primary.answer("two")
    assert tag.answers == [(b"1", "Redirected"), (b"2", "two")]
    await tag.primary.until_sent(b"3")
    assert tag.doubts == 0


async def test_a_removal_that_was_overtaken_makes_what_is_entered_doubtful(tag: Tag) -> None:
    tag.send(b"1", insist=True)
    tag.send(b"2")
    tag.primary.answer(Redirected())
    tag.primary.answer("two")
    assert (tag.answers[0], tag.doubts) == ((b"1", "Redirected"), 1)


async def test_nothing_goes_to_another_primary_before_the_old_one_has_answered(tag: Tag) -> None:
    tag.send(b"1")
    old = tag.primary
    target = tag.lead()
    tag.send(b"2")
    assert not target.waiting
    old.answer("one")
    await target.until_sent(b"2")


async def test_what_is_held_back_too_long_is_refused_and_what_comes_then_is_tried(
    tag: Tag, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.brokers.cluster_routes.HOLD_SECONDS", 0.05)
    tag.send(b"1")
    tag.primary.answer(Redirected())
    async with asyncio.timeout(5):
        while not tag.answers:
            await asyncio.sleep(0.001)
            if tag.primary.waiting:
                tag.primary.answer(Redirected())
    assert tag.answers == [(b"1", "Redirected")]


async def test_a_mistake_of_one_asker_holds_up_nobody_behind_it(tag: Tag) -> None:
    def mistake(reply: object) -> None:
        raise ValueError

    tag.send(b"1")
    tag.route.send(b"2", mistake)
    tag.primary.answer("one")
    tag.primary.answer(Redirected())
    tag.send(b"3")
    await tag.primary.until_sent(b"2")
    tag.primary.answer("two")
    await tag.primary.until_sent(b"3")
    tag.primary.answer("three")
    assert tag.answers == [(b"1", "one"), (b"3", "three")]


async def test_what_was_sent_in_an_older_generation_is_refused_in_its_turn_and_goes_nowhere(tag: Tag) -> None:
    tag.send(b"1", b"2", b"3")
    old = tag.primary
    old.answer(Redirected())
    tag.send(b"4")
    target = tag.lead(begins_anew=True)
    tag.send(b"5")
    old.answer(Redirected())
    assert not target.waiting
    old.answer("three")
    assert tag.answers == [(b"1", "Redirected"), (b"2", "Redirected"), (b"3", "three"), (b"4", "Redirected")]
    await target.until_sent(b"5")


async def test_what_waits_for_the_next_try_when_a_generation_begins_is_refused(tag: Tag) -> None:
    tag.send(b"1", b"2")
    for _ in range(2):
        tag.primary.answer(Redirected())
    target = tag.lead(begins_anew=True)
    tag.send(b"3")
    assert tag.answers == [(b"1", "Redirected"), (b"2", "Redirected")]
    await target.until_sent(b"3")


async def test_what_is_done_after_its_asker_was_told_that_nobody_knows_is_doubtful(
    tag: Tag, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.brokers.cluster_routes.DEADLINE_SECONDS", 0.05)
    tag.send(b"join", b"publish")
    for _ in range(2):
        tag.primary.answer(Redirected())
    target = tag.lead()
    await until(lambda: tag.answers, tag.changed)
    assert (tag.answers, tag.doubts) == ([(b"join", "Unavailable")], 0)
    target.answer("entered")
    assert (len(tag.answers), tag.doubts) == (1, 1)


async def test_with_its_primary_lost_everything_is_refused_at_once(tag: Tag) -> None:
    tag.send(b"1", b"2")
    tag.primary.answer(Redirected())
    tag.send(b"3")
    tag.primary.answer(Redirected())
    tag.route.lead_to(None)
    tag.send(b"4")
    await until(lambda: len(tag.answers) == 4, tag.changed)
    assert tag.answers == [(packed, "Unavailable") for packed in (b"1", b"2", b"3", b"4")]
