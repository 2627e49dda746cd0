from collections.abc import Callable

import pytest

from service.brokers.broker import Origin
from service.protocol.identifiers import Position
from service.rooms.answers import Answer, Lane, Place
from tests.rooms.surroundings import EPOCH, Ear, Surroundings, message


class Commands:
    """A lane whose commands finish when the test says so."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.running: dict[str, Answer] = {}

    def add(self, name: str, *, is_pipelined: bool) -> None:
        self.lane.add(lambda answer: self.running.__setitem__(name, answer), is_pipelined=is_pipelined)

    def finish(self, name: str) -> None:
        self.running.pop(name).give(b"\x81" + bytes([len(name) + 2]) + f'"{name}"'.encode())


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def emptied() -> list[bool]:
    return []


@pytest.fixture
def commands(ear: Ear, emptied: list[bool]) -> Commands:
    return Commands(Lane(ear, lambda: emptied.append(True)))


def test_publishes_run_together_and_answer_in_their_order(ear: Ear, commands: Commands) -> None:
    for name in ("one", "two", "three"):
        commands.add(name, is_pipelined=True)
    assert set(commands.running) == {"one", "two", "three"}
    commands.finish("three")
    commands.finish("one")
    assert ear.events == ["one"]
    commands.finish("two")
    assert ear.events == ["one", "two", "three"]


def test_other_commands_wait_for_what_came_before_and_hold_up_what_comes_after(
    ear: Ear, commands: Commands, emptied: list[bool]
) -> None:
    commands.add("publish", is_pipelined=True)
    commands.add("leave", is_pipelined=False)
    commands.add("again", is_pipelined=True)
    assert set(commands.running) == {"publish"}
    commands.finish("publish")
    assert set(commands.running) == {"leave"}
    commands.finish("leave")
    assert set(commands.running) == {"again"}
    commands.finish("again")
    assert ear.events == ["publish", "leave", "again"]
    assert emptied


def test_an_error_keeps_its_place_behind_commands_that_run(ear: Ear, commands: Commands) -> None:
    commands.add("publish", is_pipelined=True)
    commands.lane.refuse(b'\x81\x07"error"')
    assert ear.events == []
    commands.finish("publish")
    assert ear.events == ["publish", "error"]


def test_an_answer_given_twice_counts_once(ear: Ear, commands: Commands) -> None:
    commands.add("publish", is_pipelined=True)
    answer = commands.running["publish"]
    commands.finish("publish")
    answer.give(b'\x81\x07"other"')
    assert ear.events == ["publish"]


def publish(around: Surroundings, reference: int, *, awaits_redis: bool = False) -> Answer:
    """A publish of alice with an id, under way."""
    started: list[Answer] = []
    make: Callable[[str | None], bytes] = lambda position: (  # noqa: E731 - short, and used once
        b"\x81" + bytes([len(f'{{"type":"published","position":"{position}"}}')])
        + f'{{"type":"published","position":"{position}"}}'.encode()
    )  # fmt: skip

    def begin(answer: Answer) -> None:
        answer.place = Place(reference, make, awaits_redis)
        started.append(answer)

    around.connections["alice"].lane("chat").add(begin, is_pipelined=True)
    return started[0]


def mine(offset: int, reference: int, *, echo: bool = False) -> tuple[int, str, Origin]:
    return offset, EPOCH, Origin("alice", reference, echo)


def test_published_stands_in_the_place_of_ones_own_message() -> None:
    around = Surroundings()
    alice, bob = around.join("alice"), around.join("bob")
    publish(around, 7)
    around.arrive(message(1), message(*mine(2, 7)), message(3))
    assert [event.get("position") or event["offset"] for event in alice.events] == [1, f"{EPOCH}:2", 3]
    assert bob.offsets == [1, 2, 3]


def test_with_echo_the_message_comes_right_before_published() -> None:
    around = Surroundings()
    alice = around.join("alice")
    publish(around, 7)
    around.arrive(message(*mine(1, 7, echo=True)), message(2))
    assert [event["type"] for event in alice.events] == ["message", "published", "message"]


def test_own_messages_without_id_and_echo_are_unheard() -> None:
    around = Surroundings()
    alice = around.join("alice")
    around.arrive(message(*mine(1, 0)), message(2), message(*mine(3, 0, echo=True)))
    assert alice.offsets == [2, 3]


def test_an_own_message_waits_for_the_answers_of_earlier_commands_and_everything_behind_it_too() -> None:
    around = Surroundings()
    alice = around.join("alice")
    first = publish(around, 1)  # a duplicate, say: its answer comes from Redis, on another socket
    publish(around, 2)
    around.arrive(message(1), message(*mine(2, 2)), message(3))
    around.arrive(message(4))
    assert alice.offsets == [1]
    first.give(b'\x81\x14{"type":"duplicate"}')
    around.arrive(message(5))
    assert [event.get("offset", event["type"]) for event in alice.events] == [1, "duplicate", "published", 3, 4, 5]


def test_a_publish_that_a_gap_swallowed_is_answered_all_the_same() -> None:
    around = Surroundings()
    alice = around.join("alice")
    answer = publish(around, 1)
    assert answer.place is not None
    answer.place.epoch, answer.place.offset, answer.place.position = EPOCH, 2, f"{EPOCH}:2"
    around.room.skip_to(Position(EPOCH, 5), "expired")
    around.fanout.run()
    assert [event["type"] for event in alice.events] == ["gap", "published"]


def test_an_epochs_end_passes_no_answer_whose_message_is_still_being_handed_on() -> None:
    around = Surroundings()
    alice = around.join("alice")
    first, second = publish(around, 1), publish(around, 2)
    for answer, offset in ((first, 1), (second, 2)):
        assert answer.place is not None
        answer.place.epoch, answer.place.offset, answer.place.position = EPOCH, offset, f"{EPOCH}:{offset}"
    around.room.receive_message(message(*mine(1, 1)))
    around.room.receive_message(message(*mine(2, 2)))
    around.room.receive_epoch(Position("e2", 0))
    around.fanout.run()
    assert [event["type"] for event in alice.events] == ["published", "published", "gap"]


def test_a_publish_of_unknown_outcome_shows_as_a_message_when_it_comes_around_after_all() -> None:
    around = Surroundings()
    alice = around.join("alice")
    publish(around, 1).give(b'\x81\x10{"type":"error"}')
    around.arrive(message(*mine(1, 1)))
    assert [event["type"] for event in alice.events] == ["error", "message"]


def test_an_own_message_that_replicas_must_have_waits_for_redis_and_so_does_all_behind_it() -> None:
    around = Surroundings()
    alice, bob = around.join("alice"), around.join("bob")
    first, second = publish(around, 1, awaits_redis=True), publish(around, 2, awaits_redis=True)
    around.arrive(message(1), message(*mine(2, 1)), message(3), message(*mine(4, 2, echo=True)))
    assert (alice.offsets, bob.offsets) == ([1], [1, 2, 3, 4])
    assert first.take_place()
    around.arrive(message(5))
    assert [event.get("offset") or event["position"] for event in alice.events] == [1, f"{EPOCH}:2", 3]
    assert second.take_place()
    around.arrive(message(6))
    assert [event.get("offset") or event["position"] for event in alice.events] == [
        1, f"{EPOCH}:2", 3, 4, f"{EPOCH}:4", 5, 6
    ]  # fmt: skip


def test_what_redis_has_confirmed_is_answered_when_it_comes_around() -> None:
    around = Surroundings()
    alice = around.join("alice")
    assert not publish(around, 1, awaits_redis=True).take_place()
    assert alice.events == []
    around.arrive(message(1), message(*mine(2, 1)))
    assert [event["type"] for event in alice.events] == ["message", "published"]


def test_a_message_that_not_all_replicas_confirmed_shows_behind_the_refusal_of_its_publish() -> None:
    around = Surroundings()
    alice = around.join("alice")
    answer = publish(around, 1, awaits_redis=True)
    around.arrive(message(*mine(1, 1)), message(2))
    assert alice.events == []
    answer.give(b'\x81\x10{"type":"error"}')
    assert [event["type"] for event in alice.events] == ["error", "message", "message"]
    assert alice.offsets == [1, 2]


def test_a_publish_that_a_gap_swallowed_is_answered_before_the_next_one_that_comes_around() -> None:
    around = Surroundings()
    alice = around.join("alice")
    swallowed, next_one = publish(around, 1), publish(around, 2)
    around.arrive(message(1))
    around.room.skip_to(Position(EPOCH, 3), "expired")
    around.arrive(message(*mine(4, 2)), message(5))
    assert alice.offsets == [1]
    assert swallowed.place is not None
    swallowed.place.epoch, swallowed.place.offset, swallowed.place.position = EPOCH, 3, f"{EPOCH}:3"
    assert swallowed.take_place()
    assert next_one.frame is not None
    assert [event.get("position") or event.get("offset") for event in alice.events] == [
        1, None, f"{EPOCH}:3", f"{EPOCH}:4", 5
    ]  # fmt: skip


def test_a_publish_of_an_epoch_that_this_node_never_saw_is_answered_before_the_next_one_that_comes_around() -> None:
    around = Surroundings()
    alice = around.join("alice")
    unseen, next_one = publish(around, 1), publish(around, 2)
    around.room.begin_epoch(Position("e3", 0))
    assert unseen.place is not None
    unseen.place.epoch, unseen.place.offset, unseen.place.position = "e2", 1, "e2:1"
    assert not unseen.take_place()
    around.arrive(message(1, "e3", Origin("alice", 2)), message(2, "e3"))
    assert next_one.frame is not None
    assert [event.get("position") or event.get("offset") for event in alice.events] == [None, "e2:1", "e3:1", 2]


def test_a_gap_that_a_recovery_went_past_meanwhile_is_not_handed_on() -> None:
    around = Surroundings()
    alice, bob = around.join("alice"), around.join("bob")
    member = around.member("alice")
    around.room.stand_aside(member)
    around.room.skip_to(Position(EPOCH, 3), "expired")
    member.offset = 3
    around.fanout.run()
    assert (alice.events, [event["type"] for event in bob.events]) == ([], ["gap"])


@pytest.mark.parametrize("is_recovering", [True, False])
def test_a_gap_passes_no_answer_of_one_who_does_not_have_what_lies_before_it_yet(is_recovering: bool) -> None:
    around = Surroundings()
    alice = around.join("alice")
    first, second = publish(around, 1), publish(around, 2)
    if is_recovering:
        around.room.stand_aside(around.member("alice"))
        around.member("alice").is_recovering = True
    else:
        around.arrive(message(*mine(1, 2)))  # held: the first one is not answered yet
    assert second.place is not None
    second.place.epoch, second.place.offset, second.place.position = EPOCH, 1, f"{EPOCH}:1"
    around.room.skip_to(Position(EPOCH, 3), "expired")
    around.fanout.run()
    assert second.frame is None
    if not is_recovering:
        first.give(b'\x81\x14{"type":"duplicate"}')
        assert [event["type"] for event in alice.events] == ["duplicate", "published", "gap"]


def test_a_gap_passes_no_answer_of_one_that_is_still_fed_what_lies_before() -> None:
    around = Surroundings()
    alice = around.join("alice")
    answer = publish(around, 1)
    assert answer.place is not None
    answer.place.epoch, answer.place.offset, answer.place.position = EPOCH, 2, f"{EPOCH}:2"
    around.room.stand_aside(around.member("alice"))
    around.member("alice").is_recovering = True
    around.room.skip_to(Position(EPOCH, 5), "expired")
    around.fanout.run()
    assert alice.events == []
