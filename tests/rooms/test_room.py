import pytest

from service.brokers.broker import History, Origin
from service.protocol.errors import RateLimited
from service.protocol.identifiers import Position
from service.rooms.room_rates import RoomRates
from service.rooms.spare_frames import SpareFrame
from service.rooms.turns import SENDS_PER_TURN
from tests.rooms.surroundings import EPOCH, Ear, Surroundings, message, no_delivery_left, rules


@pytest.fixture
def around() -> Surroundings:
    return Surroundings()


def gaps(ear_events: list[dict[str, object]]) -> list[tuple[object, object, object]]:
    return [(event["from"], event["to"], event["reason"]) for event in ear_events if event["type"] == "gap"]


def test_messages_are_handed_on_in_order_once_each(around: Surroundings) -> None:
    alice = around.join("alice")
    around.arrive(message(1), message(2))
    around.arrive(message(2), message(3))
    assert alice.offsets == [1, 2, 3]
    assert no_delivery_left(around.room)


def test_a_jump_waits_for_a_repair_and_nothing_later_passes_it(around: Surroundings) -> None:
    alice = around.join("alice")
    around.arrive(message(1), message(3), message(4))
    assert alice.offsets == [1]
    assert around.repairs == [around.room]
    around.room.take_history(History(Position(EPOCH, 4), 1, 0, [message(2), message(3)], False), keeps_history=True)
    around.room.settle()
    around.fanout.run()
    assert alice.offsets == [1, 2, 3, 4]
    assert gaps(alice.events) == []


def test_what_history_has_no_more_is_told_as_a_gap_with_exact_bounds(around: Surroundings) -> None:
    alice = around.join("alice")
    around.arrive(message(1), message(9))
    around.room.take_history(History(Position(EPOCH, 9), 6, 0, [message(o) for o in (6, 7, 8, 9)], False), True)
    around.room.settle()
    around.fanout.run()
    assert gaps(alice.events) == [(f"{EPOCH}:1", f"{EPOCH}:5", "expired")]
    assert alice.offsets == [1, 6, 7, 8, 9]


def test_history_cut_for_the_tenants_budget_is_a_gap_of_reason_limit(around: Surroundings) -> None:
    alice = around.join("alice")
    around.arrive(message(1), message(9))
    around.room.take_history(History(Position(EPOCH, 9), 10, 9, [], False), True)
    around.fanout.run()
    assert gaps(alice.events) == [(f"{EPOCH}:1", f"{EPOCH}:9", "limit")]


def test_a_room_that_keeps_nothing_tells_its_loss_without_positions(around: Surroundings) -> None:
    alice = around.join("alice")
    around.arrive(message(1, stored=False), message(5, stored=False))
    around.room.take_history(History(Position(EPOCH, 5), 6, 0, [], False), keeps_history=False)
    around.room.settle()
    around.arrive(message(6, stored=False))
    assert gaps(alice.events) == [(None, None, "unstored")]
    assert len([event for event in alice.events if event["type"] == "message"]) == 2


def test_another_epoch_is_told_once_and_the_old_one_never_comes_back(around: Surroundings) -> None:
    alice = around.join("alice")
    around.arrive(message(1), message(2))
    around.arrive(message(1, "e2"), message(3), message(2, "e2"))
    assert gaps(alice.events) == [(f"{EPOCH}:2", "e2:0", "epoch")]
    assert alice.offsets == [1, 2, 1, 2]
    assert around.room.epoch == "e2"


def test_who_joined_ahead_of_this_node_gets_only_what_lies_behind_also_when_the_epoch_ends_meanwhile(
    around: Surroundings,
) -> None:
    alice, bob = around.join("alice"), around.join("bob", head=2)
    around.arrive(message(1), message(2), message(3), message(1, "e2"))
    assert (alice.offsets, bob.offsets) == ([1, 2, 3, 1], [3, 1])
    assert gaps(bob.events) == [(f"{EPOCH}:3", "e2:0", "epoch")]


def test_who_joined_ahead_of_this_node_gets_only_what_lies_behind_its_head(around: Surroundings) -> None:
    alice = around.join("alice")
    around.arrive(message(1))
    bob = around.join("bob", head=3)
    assert around.room.expected_offset == 3
    around.arrive(message(2), message(3), message(4))
    around.arrive(message(5))
    assert alice.offsets == [1, 2, 3, 4, 5]
    assert bob.offsets == [4, 5]


def test_who_joined_behind_this_node_stands_where_the_node_stands(around: Surroundings) -> None:
    around.join("alice")
    around.arrive(message(1), message(2))
    bob = around.join("bob", head=1)
    assert around.member("bob").joined_offset == 2
    around.arrive(message(3))
    assert bob.offsets == [3]


def test_excluded_connections_get_everything_else(around: Surroundings) -> None:
    alice, bob = around.join("alice"), around.join("bob")
    around.arrive(message(1, origin=Origin(exclude=("bob",))), message(2))
    assert alice.offsets == [1, 2]
    assert bob.offsets == [2]


def test_a_fan_out_is_cut_into_slices_and_who_left_meanwhile_gets_no_more(around: Surroundings) -> None:
    ears = [around.join(f"c{number}") for number in range(SENDS_PER_TURN * 2)]
    around.arrive(message(1))
    assert sum(ear.offsets == [1] for ear in ears) == SENDS_PER_TURN
    leaver = around.member(f"c{SENDS_PER_TURN * 2 - 1}")
    del leaver.connection.rooms["chat"]
    around.room.remove(leaver)
    around.fanout.run()
    assert [ear.offsets for ear in ears] == [[1]] * (SENDS_PER_TURN * 2 - 1) + [[]]
    assert no_delivery_left(around.room)


def test_messages_behind_a_sliced_fan_out_keep_their_order(around: Surroundings) -> None:
    ears = [around.join(f"c{number}") for number in range(SENDS_PER_TURN + 10)]
    around.arrive(message(1))
    around.arrive(message(2), message(3))
    around.fanout.run()
    around.fanout.run()
    assert all(ear.offsets == [1, 2, 3] for ear in ears)


def test_binary_subscribers_get_the_same_message_in_messagepack(around: Surroundings) -> None:
    import msgspec

    alice = around.join("alice", binary=True)
    around.arrive(message(1, text="hello"))
    [frame] = alice.frames
    assert frame[0] == 0x82
    assert msgspec.msgpack.decode(frame[2:]) == {
        "type": "message", "room": "chat", "data": "hello", "from": None, "offset": 1, "time_ms": 1001,
    }  # fmt: skip


def slow_gaps_or_frames(around: Surroundings, name: str) -> list[type[bytes]]:
    ear = around.connections[name].subscriber
    assert isinstance(ear, Ear)
    return [type(frame) for frame in ear.frames]


def test_only_a_room_whose_type_spares_the_slow_hands_on_spare_frames(around: Surroundings) -> None:
    around.join("alice")
    around.join("bob", binary=True)
    around.arrive(message(1), message(2))
    around.room.rules = rules(slow_consumer="drop_oldest")
    around.arrive(message(3))
    around.arrive(message(4), message(5))
    around.room.receive_signal(Origin(), b'"data":1')
    around.room.rules = rules()
    around.arrive(message(6))
    for name in ("alice", "bob"):
        assert slow_gaps_or_frames(around, name) == [bytes, SpareFrame, SpareFrame, SpareFrame, bytes]


def test_the_publisher_itself_gets_spare_frames_too(around: Surroundings) -> None:
    around.room.rules = rules(slow_consumer="latest_by_name")
    around.join("alice")
    around.arrive(message(1, origin=Origin("alice", 0, True)))
    assert slow_gaps_or_frames(around, "alice") == [SpareFrame]


def test_other_rules_change_neither_order_nor_offsets(around: Surroundings) -> None:
    alice = around.join("alice")
    around.arrive(message(1))
    around.room.rules = rules(history_messages=0)
    around.arrive(message(2, stored=False), message(3))  # another node has not heard of the new rules yet
    around.arrive(message(4, stored=False))
    assert [event.get("offset") for event in alice.events] == [1, None, 3, None]
    assert around.room.offset == 4
    assert not around.room.is_stored


def test_what_other_nodes_let_through_counts_for_the_rooms_rate(around: Surroundings) -> None:
    around.join("alice")
    rates = RoomRates()
    around.room.rate = rates.take("chat", 1)
    around.room.rate.own = 2
    around.arrive(message(1), message(2))
    around.room.receive_signal(Origin(), b'"data":1')
    assert around.room.rate.own == 0
    with pytest.raises(RateLimited):
        rates.take("chat", 1)


def test_a_head_that_is_ahead_of_all_that_came_is_read_and_no_other(around: Surroundings) -> None:
    around.room.receive_head(Position(EPOCH, 5))  # nobody is here yet: the first join's head counts
    around.join("alice", head=1)
    around.arrive(message(2))
    around.room.receive_head(Position(EPOCH, 2))
    around.room.receive_message(message(3))  # not taken yet, but here
    around.room.receive_head(Position(EPOCH, 3))
    assert around.repairs == []
    around.room.receive_head(Position(EPOCH, 4))
    assert around.repairs == [around.room]


def test_the_head_of_an_epoch_that_nobody_announced_is_read_and_that_of_an_ended_one_is_not(
    around: Surroundings,
) -> None:
    around.join("alice")
    around.arrive(message(1), message(1, "e2"))
    around.repairs.clear()
    around.room.receive_head(Position(EPOCH, 9))
    assert around.repairs == []
    around.room.receive_head(Position("e3", 0))
    assert around.repairs == [around.room]


def test_who_joined_ahead_of_the_node_is_told_of_no_gap_that_ends_before(around: Surroundings) -> None:
    alice = around.join("alice")
    bob = around.join("bob", head=2)
    around.room.take_history(History(Position(EPOCH, 2), 3, 0, [], False), keeps_history=True)
    around.fanout.run()
    assert gaps(alice.events) == [(f"{EPOCH}:0", f"{EPOCH}:2", "expired")]
    assert gaps(bob.events) == []


def test_late_news_of_an_epoch_that_is_over_does_not_keep_the_room_from_the_present_one(around: Surroundings) -> None:
    around.join("alice")
    around.join("bob", epoch="e3")  # Redis told of it before e2 was heard of here
    around.repairs.clear()
    around.room.receive_epoch(Position("e2", 0))
    assert around.repairs == [around.room]
    around.room.take_history(History(Position("e3", 0), 1, 0, [], False), keeps_history=True)
    around.arrive(message(1, "e3"))
    around.room.receive_head(Position("e3", 2))
    assert around.repairs[1:] == [around.room]
    assert around.room.offset == 1


def test_what_comes_behind_a_gap_comes_behind_the_answers_that_it_passed(around: Surroundings) -> None:
    alice = around.join("alice")
    around.room.skip_to(Position(EPOCH, 2), "expired")
    [delivery] = around.room.deliveries
    around.room.receive_message(message(3))
    around.room.settle()
    assert delivery.passed == Position(EPOCH, 2)
    assert len(delivery.items) == 1
    around.fanout.run()
    assert [event["type"] for event in alice.events] == ["gap", "message"]
