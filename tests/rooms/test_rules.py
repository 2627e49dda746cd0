import msgspec
import pytest

from service.brokers.broker import Retention
from service.rooms.rules import REMEMBERED_ROOMS, Rulebook, make_rules
from service.tenants.limits import Limits
from service.tenants.room_types import DEFAULT, RoomType, RoomTypes
from service.tenants.snapshot import TenantSnapshot

NO_LIMITS = Limits(max_history_messages=None, max_history_seconds=None)


def snapshot(limits: Limits | None = None, version: int = 1, **types: RoomType) -> TenantSnapshot:
    return TenantSnapshot("t1", "acme", True, limits or Limits(), (), {}, {}, version, RoomTypes(types))


def test_the_rules_of_the_default_are_the_documented_ones() -> None:
    rules = make_rules("default", DEFAULT, Limits())
    assert (rules.retention, rules.keeps_history) == (Retention(100, 300, 64 * 1024 * 1024), True)
    assert (rules.max_members, rules.messages_per_second, rules.max_message_bytes) == (10_000, None, 65_536)
    assert (rules.type_name, rules.slow_consumer, rules.presence) == ("default", "disconnect", True)


def test_the_lower_of_a_types_and_the_tenants_limit_holds() -> None:
    limits = Limits(
        max_members_per_room=5,
        max_message_bytes=None,
        max_history_messages=7,
        max_history_seconds=8,
        max_history_bytes=9,
    )
    mine = RoomType(max_members=9, max_message_bytes=10, history_messages=20, history_seconds=20)
    rules = make_rules("chat", mine, limits)
    assert (rules.max_members, rules.max_message_bytes) == (5, 10)
    assert rules.retention == Retention(7, 8, 9)
    assert make_rules("chat", RoomType(max_members=3), limits).max_members == 3
    assert make_rules("chat", DEFAULT, NO_LIMITS).retention == Retention(100, 300, NO_LIMITS.max_history_bytes)


def test_rooms_of_a_type_that_asks_for_replicas_are_replicated_and_no_others() -> None:
    book = Rulebook(snapshot(safe=RoomType(pattern="safe:*", acknowledge="replicated")))
    assert book.is_replicated("safe:1")
    assert book.find("safe:1").retention.is_replicated
    assert not book.is_replicated("news")
    assert not Rulebook(snapshot()).is_replicated("safe:1")


@pytest.mark.parametrize("mine", [RoomType(history_messages=0), RoomType(history_seconds=0)])
def test_a_history_of_no_messages_or_no_seconds_keeps_nothing(mine: RoomType) -> None:
    rules = make_rules("chat", mine, Limits())
    assert not rules.keeps_history
    assert rules.retention.messages == 0


def test_a_tenant_whose_limit_is_no_history_keeps_none_in_any_room() -> None:
    book = Rulebook(snapshot(Limits(max_history_messages=0), chat=RoomType(history_messages=50)))
    assert not book.find("chat").keeps_history
    assert not book.find("news").keeps_history


def test_rooms_of_one_type_share_one_object() -> None:
    book = Rulebook(snapshot(chat=RoomType(pattern="chat:*"), default=RoomType(presence=False)))
    assert book.find("chat:1") is book.find("chat:2")
    assert book.find("chat:1").type_name == "chat"
    assert book.find("news").type_name == "default"
    assert book.find("news").presence is False


def test_the_rooms_that_are_remembered_are_bounded() -> None:
    book = Rulebook(snapshot(chat=RoomType(pattern="chat:*")))
    for number in range(2 * REMEMBERED_ROOMS + 1):
        book.find(f"chat:{number}")
    assert len(book._by_room) <= REMEMBERED_ROOMS
    plain = Rulebook(snapshot())
    plain.find("chat")
    assert not plain._by_room


def test_only_other_types_or_limits_make_other_rules() -> None:
    tenant = snapshot(chat=RoomType())
    book = Rulebook(tenant)
    assert book.fits(msgspec.structs.replace(tenant, version=2, origins=("https://a.example",)))
    assert book.fits(snapshot(version=3, chat=RoomType()))
    assert not book.fits(snapshot(version=3, chat=RoomType(presence=False)))
    # 1 and true are the same to Python, which the contract's version tells apart
    assert not book.fits(msgspec.structs.replace(tenant, contract_version=1))
    assert not book.fits(snapshot(version=3, chat=RoomType(), news=RoomType()))
    assert not book.fits(snapshot(Limits(max_message_bytes=1), version=3, chat=RoomType()))
