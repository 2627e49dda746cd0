"""The client's pure parts: what waits, what is sent again, where a room is, who is in it."""

import asyncio
from typing import Any

import pytest
from msgspec import Raw

from roomcast_client import Backoff, Gap, Member, MemberList, Occupancy, QueueFull, RoomcastError, commands
from roomcast_client.calls import KEY_SECONDS, Call, Calls
from roomcast_client.cursor import Cursor
from roomcast_client.errors import Forbidden, OutcomeUnknown, RateLimited, Unavailable
from roomcast_client.events import Joined, MembersEvent, Pong, Presence
from roomcast_client.inbox import Inbox
from roomcast_client.pace import Pace
from roomcast_client.returning import after_close, after_refusal

QUICK = Backoff(0.0, 0.0)


class Asked:
    """Calls, and what became of them."""

    def __init__(self, **bounds: int) -> None:
        self.calls = Calls(QUICK, bounds.get("max_waiting", 100), bounds.get("max_waiting_bytes", 10_000))
        self.ended: list[Any] = []

    def add(self, room: str = "chat", *, repeats: bool = True, rank: int = 2, is_bounded: bool = False) -> Call:
        command = commands.Publish(room=room, data=Raw(b"1"))
        call = Call(command, self.ended.append, self.ended.append, repeats=repeats, rank=rank)
        self.calls.add(call, is_bounded=is_bounded)
        return call


def test_calls_go_out_by_rank_and_then_in_order() -> None:
    asked = Asked()
    one, two, first = asked.add(), asked.add(), asked.add(rank=1)
    assert [asked.calls.take(0) for _ in range(4)] == [first, one, two, None]
    assert asked.calls.next_due_at() is None


def test_a_call_that_waits_is_overtaken_by_no_other_of_its_room() -> None:
    asked = Asked()
    one, two, other = asked.add("chat"), asked.add("chat"), asked.add("news")
    assert asked.calls.take(0) is one
    asked.calls.error(one.number, RateLimited("later", retry_after_ms=1_000), 0)
    assert [asked.calls.take(0.5) for _ in range(2)] == [other, None]
    assert asked.calls.next_due_at() == 0.0
    assert [asked.calls.take(1.0) for _ in range(2)] == [one, two]


def test_an_answer_ends_a_call_once_also_while_it_waits_to_be_sent_again() -> None:
    asked = Asked()
    call = asked.add()
    asked.calls.take(0)
    assert asked.calls.overdue(10, 10)
    reply = Pong(id=call.number, time_ms=1)
    asked.calls.reply(reply)
    asked.calls.reply(reply)
    assert asked.ended == [reply]
    assert asked.calls.take(10) is None


@pytest.mark.parametrize("ending", ["lost", "overdue"])
def test_what_is_not_safe_to_repeat_ends_as_unknown(ending: str) -> None:
    asked = Asked()
    safe, unsafe, unsent = asked.add("a"), asked.add("b", repeats=False), asked.add("c", repeats=False)
    assert [asked.calls.take(0), asked.calls.take(0)] == [safe, unsafe]
    if ending == "lost":
        asked.calls.connection_lost(1)
    else:
        asked.calls.overdue(5, 5)
    (error,) = asked.ended
    assert isinstance(error, OutcomeUnknown)
    assert [asked.calls.take(5), asked.calls.take(5)] == [safe, unsent]


def test_a_key_is_trusted_no_longer_than_it_counts() -> None:
    asked = Asked()
    call = asked.add()
    asked.calls.take(0)
    asked.calls.connection_lost(KEY_SECONDS)
    assert asked.calls.take(KEY_SECONDS) is call
    asked.calls.connection_lost(KEY_SECONDS + 1)
    assert isinstance(asked.ended[0], OutcomeUnknown)


def test_only_what_was_not_done_or_is_safe_is_repeated_after_a_refusal() -> None:
    asked = Asked()
    call = asked.add(repeats=False)
    asked.calls.take(0)
    assert asked.calls.error(call.number, RateLimited("later", retry_after_ms=0), 0)
    assert asked.calls.take(0) is call
    asked.calls.error(call.number, Unavailable("unknown"), 0)
    assert isinstance(asked.ended[0], Unavailable)
    assert not asked.calls.error(call.number, Forbidden("no"), 0)
    assert not asked.calls.error("theirs", Forbidden("no"), 0)


def test_a_queue_has_its_bounds_in_calls_and_in_bytes() -> None:
    asked = Asked(max_waiting=2)
    asked.add(is_bounded=True)
    withdrawn = asked.add(is_bounded=True)
    with pytest.raises(QueueFull):
        asked.add(is_bounded=True)
    asked.add()  # with a connection nothing waits for long
    asked.calls.withdraw(withdrawn)
    tight = Asked(max_waiting_bytes=100)
    tight.add(is_bounded=True)
    with pytest.raises(QueueFull):
        tight.add(is_bounded=True)


def test_a_position_moves_by_what_is_delivered_and_by_nothing_else() -> None:
    cursor = Cursor()
    assert cursor.message(7)
    cursor.joined("e:3", None)
    assert cursor.position == "e:3"
    assert [cursor.message(offset) for offset in (3, 4, 4, 5)] == [False, True, False, True]
    cursor.published("e:6", is_duplicate=False)
    cursor.published("e:9", is_duplicate=True)
    cursor.published("d:90", is_duplicate=False)
    cursor.published(None, is_duplicate=False)
    assert cursor.position == "e:6"
    cursor.joined("e:9", recovered=True)
    assert cursor.position == "e:6"
    cursor.joined("f:1", recovered=False)
    assert cursor.position == "e:6"
    cursor.gap("f:1")
    assert (cursor.message(1), cursor.message(2), cursor.position) == (False, True, "f:2")


@pytest.mark.anyio
async def test_who_lets_too_many_events_wait_gets_a_gap_for_the_oldest() -> None:
    inbox: Inbox[Any] = Inbox("chat", 4)
    inbox.start("e:0")
    for number in range(1, 11):
        inbox.put(number, f"e:{number}")
    inbox.end()
    gap = await inbox.take()
    assert isinstance(gap, Gap)
    assert (gap.room, gap.from_, gap.reason) == ("chat", "e:0", "behind")
    assert inbox.seen("e:10") == gap.to
    rest = [await inbox.take() for _ in range(10 - int(str(gap.to).partition(":")[2]))]
    assert rest == list(range(11 - len(rest), 11))
    assert gap.to == f"e:{10 - len(rest)}"
    with pytest.raises(StopAsyncIteration):
        await inbox.take()


@pytest.mark.anyio
async def test_an_inbox_that_ended_with_an_error_gives_what_waited_first() -> None:
    inbox: Inbox[Any] = Inbox("chat", 4)
    reader = asyncio.create_task(inbox.take())
    await asyncio.sleep(0)
    inbox.put(1, None)
    inbox.put(2, None)
    inbox.end(RoomcastError("over"))
    inbox.put(3, None)
    assert [await reader, await inbox.take()] == [1, 2]
    with pytest.raises(RoomcastError, match="over"):
        await inbox.take()


def member(connection: str, **fields: Any) -> Member[Any]:
    return Member(user="u", connection=connection, joined_at_ms=1, **fields)


def presence(**fields: Any) -> Presence[Any]:
    lists: dict[str, Any] = {"joined": [], "changed": [], "left": []} | fields
    return Presence(room="chat", occupancy=Occupancy(connections=9, users=9), **lists)


def test_a_list_of_members_is_read_in_pages_if_the_join_had_not_all() -> None:
    members: MemberList[Any] = MemberList()
    occupancy = Occupancy(connections=3, users=3)
    joined: Joined[Any] = Joined(room="chat", position=None, recovered=None, occupancy=occupancy, members=[member("a")])
    assert members.joined(joined)
    assert not members.is_complete
    assert not members.presence(presence(left=[member("b")], changed=[member("a2", was="a", state=1)]))
    members.page(MembersEvent(room="chat", members=[member("a"), member("b")], next_cursor="x", occupancy=occupancy))
    assert not members.is_complete
    members.page(MembersEvent(room="chat", members=[member("a2", state=0), member("c")], occupancy=occupancy))
    assert members.is_complete
    assert (sorted(members), members["a2"].state, len(members)) == (["a2", "c"], 1, 2)
    assert members.presence(presence(reset=True))
    assert not members.is_complete
    assert len(members) == 0


def test_a_pace_grants_its_burst_and_then_its_rate() -> None:
    pace = Pace(10, 2, 0.0)
    for _ in range(2):
        assert pace.wait_seconds(0.0) == 0
        pace.spend()
    assert pace.wait_seconds(0.0) == pytest.approx(0.1)
    assert pace.wait_seconds(0.1) == 0
    assert Pace(None, None, 0.0).wait_seconds(0.0) == 0


def test_a_backoff_has_full_jitter_below_its_bounds() -> None:
    backoff = Backoff(first_seconds=1, max_seconds=8)
    for tries, most in ((0, 1), (2, 4), (3, 8), (10_000, 8)):
        delays = [backoff.delay(tries) for _ in range(200)]
        assert 0 <= min(delays) < most / 4
        assert most / 2 < max(delays) <= most


def test_a_close_without_a_word_of_the_server_is_told_by_its_code() -> None:
    assert after_close(None, None).comes_back
    assert after_close(4401, None).needs_token
    assert not after_close(4403, None).comes_back
    for status, comes_back in ((400, False), (401, True), (403, False), (404, True), (429, True), (503, True)):
        assert after_refusal(RoomcastError("x", status=status)).comes_back == comes_back
    assert after_refusal(Unavailable("x", status=503, retry_after_ms=1500)).after_seconds == 1.5
