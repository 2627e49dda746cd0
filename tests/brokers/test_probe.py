import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from service.brokers.probe import SILENT_PROBES, Probe
from service.brokers.resp import Done, out_of_reach, pack
from tests.brokers.conftest import Node, Room, channels_of, eventually


class Link:
    """A command connection that answers at once, or not at all."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.reply: Any = 1

    def send(self, packed: bytes, done: Done) -> None:
        self.sent.append(packed)
        done(self.reply)


class Probed:
    """A probe, and how often its connection was replaced."""

    def __init__(self) -> None:
        self.link = Link()
        self.replaced = 0
        self.probe = Probe(self.link, b"node", self._replace)

    def _replace(self) -> None:
        self.replaced += 1
        self.probe.begin()

    def send(self, times: int, hears: Callable[[int], int | None]) -> None:
        """Send so many numbers; of the one sent last, `hears` says which comes back."""
        for _ in range(times):
            self.probe.send()
            if (number := hears(len(self.link.sent))) is not None:
                self.probe.receive(number)


def test_numbers_go_by_the_channel_and_count_up() -> None:
    probed = Probed()
    probed.send(2, lambda number: None)
    assert probed.link.sent == [pack("PUBLISH", b"node", b"1 o 1"), pack("PUBLISH", b"node", b"1 o 2")]


def test_a_connection_by_which_nothing_comes_back_is_replaced_once() -> None:
    probed = Probed()
    probed.send(SILENT_PROBES, lambda number: None)
    assert probed.replaced == 0
    probed.send(SILENT_PROBES, lambda number: None)
    assert probed.replaced == 1


@pytest.mark.parametrize(
    "hears",
    [
        lambda number: number,
        lambda number: number if number % (SILENT_PROBES - 1) == 0 else None,
        lambda number: max(0, number - 40),
    ],
    ids=["at-once", "most-are-lost", "late"],
)
def test_a_connection_by_which_some_come_back_stays(hears: Callable[[int], int | None]) -> None:
    probed = Probed()
    for number in range(1, 41):
        probed.probe.send()
        probed.probe.receive(number)
    probed.send(200, hears)
    assert probed.replaced == 0


def test_nothing_is_replaced_while_redis_does_not_answer_commands_either() -> None:
    probed = Probed()
    probed.link.reply = out_of_reach()
    probed.send(3 * SILENT_PROBES, lambda number: None)
    assert probed.replaced == 0


def test_who_follows_is_called_when_a_later_number_came_back_and_not_over_a_new_connection() -> None:
    probed, called = Probed(), []
    probed.send(2, lambda number: None)
    probed.probe.follow(lambda: called.append(1))
    probed.probe.receive(2)  # was sent before
    assert called == []
    probed.send(3, lambda number: number if number == 5 else None)
    assert called == [1]
    probed.probe.follow(lambda: called.append(2))
    probed.probe.begin()
    probed.send(2, lambda number: number)
    assert called == [1]


def test_who_follows_a_probe_follows_the_one_that_takes_its_place() -> None:
    probed, called = Probed(), []
    probed.send(2, lambda number: None)
    probed.probe.follow(lambda: called.append(1))
    another = Probe(probed.link, b"another", lambda: None)
    another.take_over(probed.probe)
    another.send()
    assert called == []
    another.receive(1)
    assert called == [1]


@pytest.mark.anyio
async def test_a_subscription_that_went_deaf_is_found_within_five_seconds_though_it_answers_pings(a: Node) -> None:
    address, room = a.address("T1", "chat"), Room()
    await a.subscribe(address, room)
    connection = channels_of(a)._connection
    assert connection is not None
    connection.write(pack("UNSUBSCRIBE"), 3)  # behind the node's back

    async def is_deaf() -> bool:
        return await a.ask_to_drain(a.node) is False

    await eventually(is_deaf)
    published = await a.publish(address)
    begun = time.monotonic()
    await room.until(lambda: room.interruptions == 1)
    assert time.monotonic() - begun < 5
    await a.listener.until_heard("back")
    assert not room.messages
    assert (await a.history(address)).head == published.position
    await a.publish(address)
    await room.until_messages(1)


@pytest.mark.anyio
async def test_a_subscription_that_is_heard_is_left_alone(a: Node) -> None:
    address, room = a.address("T1", "chat"), Room()
    await a.subscribe(address, room)
    heard = asyncio.Event()
    channels_of(a).probe.follow(heard.set)
    await asyncio.wait_for(heard.wait(), 2)
    assert (room.interruptions, a.listener.heard) == (0, [])
