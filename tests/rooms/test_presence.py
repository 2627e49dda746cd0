"""What watchers are told, without a loop or a clock: changes net of each other, in order, or the plain reset."""

import random

import pytest

from service.brokers.members import MemberChange
from service.protocol.events import Member, OccupancyEvent, Presence
from service.rooms.presence import MAX_ARRIVED, OLD_NEWS, Told, net
from tests.rooms.watched_room import Watched, changed, joined, left


def told(*changes: MemberChange) -> tuple[list[str], list[str], list[str]]:
    """`net`, as names; who took a place as "new<old"."""
    came, differ, gone = net(changes)
    return (
        [each.connection for each in came],
        [f"{each.connection}<{each.was}" if isinstance(each.was, str) else each.connection for each in differ],
        [each.connection for each in gone],
    )


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ((joined("a"), joined("b")), (["a", "b"], [], [])),
        ((joined("a"), left("a")), ([], [], [])),
        ((left("a"), joined("a")), ([], ["a"], [])),
        ((joined("a"), changed("a", 1), changed("a", 2)), (["a"], [], [])),
        ((changed("a", 1), changed("a", 2)), ([], ["a"], [])),
        ((changed("a", 1), left("a")), ([], [], ["a"])),
        ((changed("b", 1, "a"),), ([], ["b<a"], [])),
        ((changed("b", 1, "a"), changed("b", 2)), ([], ["b<a"], [])),
        ((changed("b", 1, "a"), changed("c", 2, "b")), ([], ["c<a"], [])),
        ((changed("b", 1, "a"), left("b")), ([], [], ["a"])),
        ((changed("a", 1), changed("b", 1, "a")), ([], ["b<a"], [])),
        ((joined("a"), changed("b", 1, "a")), (["b"], [], [])),
        ((joined("a"), changed("b", 1, "a"), left("b")), ([], [], [])),
        ((joined("a"), left("a"), joined("a")), (["a"], [], [])),
    ],
)
def test_changes_are_told_net_of_each_other(
    changes: tuple[MemberChange, ...], wanted: tuple[list[str], list[str], list[str]]
) -> None:
    assert told(*changes) == wanted


def test_the_last_state_is_the_one_that_is_told() -> None:
    came, differ, _ = net([joined("a", 1), changed("a", 2), changed("b", 1), changed("b", 3)])
    assert (bytes(came[0].state), bytes(differ[0].state)) == (b"2", b"3")  # type: ignore[arg-type]


def only(told: list[Told]) -> Presence:
    [(event, _)] = told
    assert isinstance(event, Presence)
    return event


def names(members: list[Member]) -> list[str]:
    return [each.connection for each in members]


def test_all_watchers_get_the_same_event() -> None:
    room = Watched()
    watchers = [room.watch(f"w{number}") for number in range(3)]
    assert room.flush() == []
    room.change(joined("a"))
    room.change(joined("b"))
    [(event, members)] = room.flush()
    assert members == watchers
    assert isinstance(event, Presence)
    assert names(event.joined) == ["a", "b"]
    assert event.occupancy.connections == 2
    assert room.flush() == []


def test_one_that_begins_to_watch_is_told_only_what_came_after() -> None:
    room = Watched()
    early = room.watch("early")
    room.flush()
    room.change(joined("a"))
    late = room.watch("late")
    room.change(joined("b"))
    told = room.flush()
    assert [(names(event.joined), members) for event, members in told if isinstance(event, Presence)] == [
        (["a", "b"], [early]),
        (["b"], [late]),
    ]
    room.change(left("a"))
    assert [members for _, members in room.flush()] == [[early, late]]


def test_nothing_is_told_before_joined_is_sent_and_nothing_is_lost_by_waiting() -> None:
    room = Watched()
    slow = room.watch("slow", greets=False)
    for name in "abc":
        room.change(joined(name))
        assert room.flush() == []
    assert room.presence.greet(slow)
    assert names(only(room.flush()).joined) == ["a", "b", "c"]


def test_a_change_that_comes_before_the_answer_to_the_join_is_told_once() -> None:
    room = Watched()
    change = room.change(joined("a"), is_lost=True)
    room.presence.take(change)  # pub/sub is ahead of the answer
    room.change(joined("b"))
    late = room.watch("late")
    assert room.flush() == []
    room.presence.take(change)
    room.change(joined("c"))
    [(event, members)] = room.flush()
    assert (names(event.joined), members) == (["c"], [late])  # type: ignore[union-attr]


def test_a_join_whose_change_is_still_to_come_waits_for_it() -> None:
    room = Watched()
    first = room.change(joined("a"), is_lost=True)
    room.watch("late")
    room.presence.take(first)
    assert room.flush() == []
    room.change(joined("b"))
    assert names(only(room.flush()).joined) == ["b"]


def test_an_answer_that_comes_after_a_flush_means_a_reset() -> None:
    room = Watched()
    room.watch("early")
    room.flush()
    snapshot = room.snapshot()
    room.change(joined("a"))
    room.flush()
    room.around.join("late")
    late = room.around.member("late")
    room.presence.enter(late, snapshot)
    room.known[late] = set()
    assert room.presence.greet(late)
    assert only(room.flush()).reset is True


@pytest.mark.parametrize("times", [1, 5])
def test_a_jump_means_a_reset_once(times: int) -> None:
    room = Watched()
    room.watch("w")
    room.change(joined("a"))
    for number in range(times):
        room.change(joined(f"lost-{number}"), is_lost=True)
        room.change(joined(f"b-{number}"))
    event = only(room.flush())
    assert (event.reset, event.joined, event.occupancy.connections) == (True, [], 1 + 2 * times)
    room.change(joined("c"))
    event = only(room.flush())
    assert (event.reset is True, names(event.joined)) == (False, ["c"])


def test_a_sequence_that_was_set_back_means_a_reset_and_old_news_nothing() -> None:
    room = Watched()
    room.watch("w")
    change = room.change(joined("a"))
    room.flush()
    assert not room.presence.take(change)
    assert room.flush() == []
    room.sequence -= OLD_NEWS + 10
    room.change(joined("b"))
    assert only(room.flush()).reset is True
    room.change(joined("c"))
    assert names(only(room.flush()).joined) == ["c"]


def test_a_look_finds_what_was_lost_the_second_time_and_in_doubt_at_once() -> None:
    room = Watched()
    room.watch("w")
    room.change(joined("a"))
    room.flush()
    assert not room.presence.look(room.snapshot())
    room.change(joined("b"), is_lost=True)
    assert not room.presence.look(room.snapshot()), "it may be under way"
    assert room.presence.look(room.snapshot())
    assert only(room.flush()).reset is True
    room.presence.doubt()
    assert not room.presence.look(room.snapshot()), "nothing was lost"
    room.presence.doubt()
    room.change(joined("c"), is_lost=True)
    assert room.presence.look(room.snapshot())
    assert only(room.flush()).reset is True


def test_more_changes_than_are_gathered_mean_a_reset() -> None:
    room = Watched()
    room.watch("w")
    for number in range(MAX_ARRIVED + 1):
        room.change(joined("a") if number % 2 == 0 else left("a"))
    assert only(room.flush()).reset is True


def test_a_large_room_tells_its_number_until_it_is_small_again() -> None:
    room = Watched()
    watcher = room.watch("w")
    room.flush()
    for count, kind in ((1_000, Presence), (1_001, OccupancyEvent), (900, OccupancyEvent), (899, Presence)):
        room.change(joined(f"m{count}"), connections=count)
        [(event, members)] = room.flush()
        assert type(event) is kind
        assert members == [watcher]
        if isinstance(event, OccupancyEvent):
            assert (event.connections, event.users) == (count, count)
        else:
            assert (event.reset is True) == (count == 899)
    room.change(joined("x"), connections=900)
    assert names(only(room.flush()).joined) == ["x"]
    room.change(joined("y"), connections=1_001)
    room.flush()
    room.change(changed("y"), connections=1_001)
    assert room.flush() == [], "the number is the same"


def test_who_watches_no_more_is_told_nothing() -> None:
    room = Watched()
    one, two = room.watch("one"), room.watch("two", greets=False)
    assert one in room.presence
    assert two in room.presence
    room.flush()
    assert room.presence.remove(one)
    assert room.presence.remove(two)
    assert not room.presence.remove(one)
    room.change(joined("a"))
    assert room.flush() == []


class Chance:
    """What happens to a watched room, as a seed has it."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._names = (f"c{number}" for number in range(10_000))
        self.room = Watched()
        acts = {self.join: 35, self.leave: 20, self.take_a_place: 10, self.change: 10, self.watch: 5, self.greet: 5}
        self._acts = [self.room.flush, *acts]
        self._weights = [15, *acts.values()]

    def act(self) -> None:
        [act] = self._random.choices(self._acts, self._weights)
        act()

    def _anybody(self) -> str:
        if not self.room.there:
            self.join()
        return self._random.choice(sorted(self.room.there))

    def join(self) -> None:
        self.room.change(joined(next(self._names)), is_lost=self._random.random() < 0.01)

    def leave(self) -> None:
        self.room.change(left(self._anybody()), is_lost=self._random.random() < 0.01)

    def take_a_place(self) -> None:
        self.room.change(changed(next(self._names), 1, was=self._anybody()))

    def change(self) -> None:
        self.room.change(changed(self._anybody(), 2))

    def watch(self) -> None:
        self.room.watch(f"w{next(self._names)}", greets=self._random.random() < 0.7)

    def greet(self) -> None:
        for membership in self.room.known:
            self.room.presence.greet(membership)


@pytest.mark.parametrize("seed", range(30))
def test_watchers_know_who_is_there_whatever_happens(seed: int) -> None:
    chance = Chance(seed)
    chance.watch()
    for _ in range(400):
        chance.act()
    chance.greet()
    chance.room.change(joined("last"))
    chance.room.flush()
    assert len(chance.room.known) > 1
    for membership, known in chance.room.known.items():
        assert known == chance.room.there, membership


def test_who_read_the_list_as_one_came_and_went_is_told_that_it_went() -> None:
    room = Watched()
    reader, other = room.watch("reader"), room.watch("other")
    room.flush()  # both are told of nothing, and of all that follows
    room.presence.read(reader, 1)
    room.change(joined("a"))
    room.known[reader].add("a")  # by the page that it reads
    room.change(left("a"), joined("b"))
    told = room.presence.flush("chat")
    shown = [
        (names(event.joined), names(event.left), members) for event, members in told if isinstance(event, Presence)
    ]
    assert shown == [(["b"], [], [other]), (["a"], [], [reader]), (["b"], ["a"], [reader])]
    room.change(joined("c"))
    room.change(left("c"))
    assert room.presence.flush("chat") == []
