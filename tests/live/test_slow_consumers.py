"""Slow readers over real sockets, in rooms of each policy: what is left out is told, and answers never are."""

import pytest

from service.protocol.events import Gap, Message, Pong, Published
from tests.support.fixtures import Connect
from tests.support.room_types import Types
from tests.support.wire_client import Client

pytestmark = pytest.mark.anyio


SIZE_BYTES = 60_000
COUNT = 80  # 4.8 MB, where an outbox takes 1 MiB


async def fall_behind(slow: Client, speaker: Client, room: str, names: int = COUNT) -> None:
    """A reader sleeps while more is said in its room than its outbox takes; it asks for something now and then."""
    slow.stops_reading()
    for number in range(COUNT):
        await speaker.publishes(room, "x" * SIZE_BYTES, name=f"n{number % names}")
        if number % 20 == 0:
            await slow.sends("ping", id=number)
    slow.reads_again()


async def heard(slow: Client, at: int) -> tuple[list[int], list[Gap], list[object], list[str]]:
    """Offsets, gaps and ids of replies up to the last message, counted on from `at`; and the messages' names."""
    offsets: list[int] = []
    gaps: list[Gap] = []
    replies: list[object] = []
    names: list[str] = []
    while at < COUNT:
        event = await slow.next()
        if isinstance(event, Message):
            assert event.offset == at + 1
            at += 1
            offsets.append(at)
            names.append(str(event.name))
        elif isinstance(event, Gap):
            assert event.reason == "slow"
            assert event.from_ is not None
            assert event.from_.endswith(f":{at}")
            at = int(str(event.to).partition(":")[2])
            gaps.append(event)
        else:
            replies.append(getattr(event, "id", None))
    while len(replies) < 4:  # the kernel may keep what a client sends while it takes nothing
        replies.append((await slow.expects(Pong)).id)
    return offsets, gaps, replies, names


async def test_a_slow_reader_of_a_room_that_drops_the_oldest_stays_and_is_told_what_it_missed(
    connect: Connect, types: Types, binary: bool
) -> None:
    await types.begin_with("feed", pattern="feed", slow_consumer="drop_oldest", history_messages=COUNT)
    slow, speaker = await connect("slow", binary=binary, receive_buffer_bytes=4_096), await connect("speaker")
    epoch = str((await slow.joins("feed")).position).partition(":")[0]
    await fall_behind(slow, speaker, "feed")
    offsets, gaps, replies, _ = await heard(slow, 0)
    assert gaps
    assert offsets[-1] == COUNT
    assert replies == [0, 20, 40, 60]
    missed = COUNT - len(offsets)
    assert 0 < missed < COUNT - 5
    await slow.hears_nothing()
    # It is live as before, and what was left out is in the history.
    await speaker.publishes("feed", "next")
    await slow.expects(Message, data="next", offset=COUNT + 1)
    page = await speaker.history("feed", since=gaps[0].from_, limit=3)
    first = int(str(gaps[0].from_).partition(":")[2]) + 1
    assert page.messages[0].offset == first
    assert (await slow.joins("feed", since=f"{epoch}:{COUNT}")).recovered is True


async def test_a_slow_reader_of_a_room_of_latest_values_has_the_latest_of_each(connect: Connect, types: Types) -> None:
    await types.begin_with("board", pattern="board", slow_consumer="latest_by_name")
    slow, speaker = await connect("slow", receive_buffer_bytes=4_096), await connect("speaker")
    await slow.joins("board")
    await fall_behind(slow, speaker, "board", names=7)
    offsets, gaps, replies, names = await heard(slow, 0)
    assert gaps
    assert replies == [0, 20, 40, 60]
    assert offsets[-7:] == list(range(COUNT - 6, COUNT + 1))
    assert set(names[-7:]) == {f"n{number}" for number in range(7)}


async def test_the_policy_of_a_room_changes_while_people_are_in_it(connect: Connect, types: Types) -> None:
    slow, speaker = await connect("slow", receive_buffer_bytes=4_096), await connect("speaker")
    await slow.joins("feed")
    await types.put("feed", room="feed", pattern="feed", slow_consumer="drop_oldest")
    await fall_behind(slow, speaker, "feed")
    assert (await heard(slow, 0))[1]
    await types.delete("feed", room="feed")
    slow.stops_reading()
    for _ in range(COUNT):
        await speaker.publishes("feed", "x" * SIZE_BYTES)
    slow.reads_again()
    closing = await slow.is_closed_with(4450)
    assert closing is not None
    assert closing.reconnect


async def test_own_messages_and_their_answers_keep_their_places_for_a_slow_reader(
    connect: Connect, types: Types
) -> None:
    await types.begin_with("feed", pattern="feed", slow_consumer="drop_oldest")
    slow, speaker = await connect("slow", receive_buffer_bytes=4_096), await connect("speaker")
    await slow.joins("feed")
    slow.stops_reading()
    for number in range(COUNT):
        await speaker.publishes("feed", "x" * SIZE_BYTES)
        if number % 10 == 0:
            await slow.sends("publish", room="feed", data=number, id=number)
    slow.reads_again()
    at, answers = 0, []
    while at < COUNT + 8:
        event = await slow.next()
        if isinstance(event, Gap):
            assert str(event.from_).endswith(f":{at}")
            at = int(str(event.to).partition(":")[2])
        else:
            assert isinstance(event, Message | Published)
            if isinstance(event, Published):
                answers.append(event.id)
            at += 1
            assert str(event.offset if isinstance(event, Message) else event.position).endswith(str(at))
    assert answers == list(range(0, COUNT, 10))
