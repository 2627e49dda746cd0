import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.brokers.broker import Envelope, Origin
from service.protocol.codec import frame
from service.rooms import spare_frames
from service.rooms.fanout import Ready, message_payload
from service.rooms.slow_consumers import message_items, signal_ready
from service.rooms.spare_frames import SpareFrame, is_any_spare, join_frames
from service.tenants.room_types import SlowConsumer
from tests.rooms.surroundings import Ear, message

PLAIN = frame(b'{"type":"pong"}', False)


def spare(
    *messages: Envelope, room: str = "chat", policy: SlowConsumer = "drop_oldest", binary: bool = False
) -> list[bytes]:
    prefix = b'{"type":"message","room":"%b",' % room.encode()
    return [item.ready.for_subscriber(binary) for item in message_items(room, prefix, messages, policy)]


def needed(envelope: Envelope, *, binary: bool = False) -> bytes:
    """As a room without such a policy sends it."""
    return Ready(message_payload(b'{"type":"message","room":"chat",', envelope)).for_subscriber(binary)


def said(offset: int, name: str | None, *, room: str = "chat") -> bytes:
    body = b'"data":1,"from":null'
    if name is not None:
        body = b'"name":%b,%b' % (msgspec.json.encode(name), body)
    [ready] = spare(Envelope("e1", offset, True, 0, Origin(), body), room=room, policy="latest_by_name")
    return ready


def told(frames: list[bytes]) -> list[object]:
    """Offsets of messages, bounds of gaps, types of all else."""
    ear = Ear()
    ear.frames = frames
    found: list[object] = []
    for event in ear.events:
        if event["type"] == "message":
            found.append(event.get("offset", "message"))
        elif event["type"] == "gap":
            assert event["reason"] == "slow"
            found.append((event["from"], event["to"]))
        else:
            found.append(event["type"])
    return found


def size(frames: list[bytes]) -> int:
    return sum(map(len, frames))


def thin(frames: list[bytes], goal_bytes: int) -> list[bytes]:
    """Leave out until so much is left."""
    return spare_frames.thin(frames, size(frames) - goal_bytes)


def test_a_room_that_disconnects_the_slow_has_no_spare_frames() -> None:
    ready = needed(message(1))
    assert type(signal_ready(b"{}", "disconnect").for_subscriber(False)) is bytes
    assert not is_any_spare(None)
    assert not is_any_spare(ready)
    assert not is_any_spare([ready, join_frames([ready, PLAIN])])


@pytest.mark.parametrize("binary", [False, True])
def test_a_spare_frame_has_the_bytes_of_any_other_and_is_made_once(binary: bool) -> None:
    [ready] = spare(message(1), binary=binary)
    assert ready == needed(message(1), binary=binary)
    assert type(ready) is SpareFrame
    item = message_items("chat", b"{", [message(1)], "drop_oldest")[0]
    assert item.ready.for_subscriber(binary) is item.ready.for_subscriber(binary)


def test_the_oldest_go_first_and_a_gap_says_which() -> None:
    frames = spare(*[message(offset) for offset in range(1, 11)])
    left = thin(frames, size(frames[6:]))
    assert told(left) == [("e1:0", "e1:6"), 7, 8, 9, 10]


def test_replies_are_kept_and_no_gap_reaches_over_them() -> None:
    one, two, three, four = spare(*[message(offset) for offset in range(1, 5)])
    left = thin([PLAIN, one, two, PLAIN, three, PLAIN, four], size([PLAIN] * 3))
    assert told(left) == ["pong", ("e1:0", "e1:2"), "pong", ("e1:2", "e1:3"), "pong", ("e1:3", "e1:4")]


def test_rooms_are_told_each_for_itself() -> None:
    chat = spare(*[message(offset) for offset in (5, 6)])
    news = spare(*[message(offset, "e9") for offset in (1, 2)], room="news")
    left = thin([chat[0], news[0], chat[1], news[1]], 0)
    assert told(left) == [("e1:4", "e1:6"), ("e9:0", "e9:2")]


def test_a_gap_grows_when_more_is_left_out_behind_it() -> None:
    frames = spare(*[message(offset) for offset in range(1, 21)])
    left = thin(frames[:10], size(frames[5:10]))
    assert told(left)[0] == ("e1:0", "e1:5")
    left = thin([*left, *frames[10:]], size([left[0], *frames[15:]]))
    assert told(left) == [("e1:0", "e1:15"), *range(16, 21)]


def test_what_was_joined_for_one_write_is_taken_apart() -> None:
    frames = spare(*[message(offset) for offset in range(1, 9)])
    joined = [join_frames(frames[:4]), join_frames([PLAIN, frames[4]]), join_frames(frames[5:])]
    assert b"".join(joined) == b"".join([*frames[:4], PLAIN, *frames[4:]])
    assert is_any_spare(joined[0])
    assert told(thin(joined, size([PLAIN, *frames[6:]]))) == [("e1:0", "e1:4"), "pong", ("e1:4", "e1:6"), 7, 8]


def test_messages_without_offsets_go_with_a_gap_without_positions() -> None:
    frames = spare(*[message(offset, stored=False) for offset in range(1, 6)])
    assert told(thin(frames, size(frames[3:]))) == [(None, None), "message", "message"]


def test_two_epochs_have_gaps_of_their_own() -> None:
    frames = spare(message(7), message(8), message(1, "e2"))
    assert told(thin(frames, 0)) == [("e1:6", "e1:8"), ("e2:0", "e2:1")]


def test_only_the_latest_of_each_name_is_kept() -> None:
    names = ["price", "mood", "price", None, "price", "mood", None]
    frames = [said(offset, name) for offset, name in enumerate(names, 1)]
    left = thin(frames, size(frames) - 1)
    assert told(left) == [("e1:0", "e1:4"), 5, 6, 7]


def test_a_name_with_quotes_is_that_name_alone() -> None:
    frames = [said(1, 'a","data":2,"b'), said(2, 'a\\"'), said(3, 'a\\"'), said(4, "a")]
    assert told(thin(frames, size(frames) - 1)) == [1, ("e1:1", "e1:2"), 3, 4]


def test_the_same_name_in_another_room_is_another_message() -> None:
    frames = [said(1, "price"), said(1, "price", room="other")]
    assert thin(frames, size(frames)) == frames


def test_too_many_names_go_by_age() -> None:
    frames = [said(offset, f"n{offset}") for offset in range(1, 11)]
    assert told(thin(frames, size(frames[8:]))) == [("e1:0", "e1:8"), 9, 10]


def test_in_a_room_that_drops_the_oldest_names_do_not_count() -> None:
    frames = spare(*[message(offset) for offset in range(1, 4)])
    assert thin(frames, size(frames)) == frames


def test_signals_go_without_a_word() -> None:
    signal = signal_ready(b'{"type":"signal"}', "drop_oldest").for_subscriber(False)
    frames = [signal, *spare(message(1)), signal]
    assert told(thin(frames, 0)) == [("e1:0", "e1:1")]


def test_a_gap_is_told_in_the_subprotocol_of_its_socket() -> None:
    [gap] = thin(spare(message(1), binary=True), 0)
    assert gap[0] == 0x82
    assert msgspec.msgpack.decode(gap[2:]) == {
        "type": "gap", "room": "chat", "from": "e1:0", "to": "e1:1", "reason": "slow",
    }  # fmt: skip


@given(
    st.lists(st.sampled_from(["chat", "news", "plain", "signal"]), max_size=60),
    st.lists(st.floats(0, 1.2), min_size=1, max_size=4),
    st.sampled_from(["drop_oldest", "latest_by_name"]),
)
def test_whatever_is_left_out_a_client_counts_on_without_a_jump(
    kinds: list[str], goals: list[float], policy: SlowConsumer
) -> None:
    offsets = {"chat": 0, "news": 0}
    frames: list[bytes] = []
    for number, kind in enumerate(kinds):
        if kind == "plain":
            frames.append(frame(b'{"type":"reply","number":%d}' % number, False))
        elif kind == "signal":
            frames.append(signal_ready(b'{"type":"signal"}', policy).for_subscriber(False))
        else:
            offsets[kind] += 1
            frames += spare(message(offsets[kind], kind), room=kind, policy=policy)
    replies = [ready for ready in frames if type(ready) is bytes]
    for goal in goals:
        frames = thin(frames, int(size(frames) * goal))
        assert [ready for ready in frames if type(ready) is bytes] == replies
    ear = Ear()
    ear.frames = frames
    at = {"chat": 0, "news": 0}
    for event in ear.events:
        if event["type"] == "message":
            assert event["offset"] == at[event["room"]] + 1
            at[event["room"]] += 1
        elif event["type"] == "gap":
            room = event["room"]
            assert event["from"] == f"{room}:{at[room]}"
            at[room] = int(event["to"].partition(":")[2])
    assert at == offsets
