from hypothesis import given
from hypothesis import strategies as st

from service.brokers.keys import PARTITIONS, Keyspace, TenantKeys, partition_of

TENANTS = st.text("Ab1", min_size=1, max_size=3)
ROOMS = st.text("Ab1:.,-", min_size=1, max_size=3)
USERS = st.text("Ab1: {}", max_size=3)
KEYS = st.text("Ab1:/ ", min_size=1, max_size=4)
WHATEVER = st.tuples(TENANTS, ROOMS, USERS, KEYS)
KINDS = (b"m", b"s", b"n", b"u")


def every_key(what: tuple[str, str, str, str]) -> set[bytes]:
    tenant_id, room, user, key = what
    keys = Keyspace(0).address(tenant_id, room).keys
    return {keys.channel, keys.idempotency(user, key), *map(keys.key, KINDS)}


@given(WHATEVER, WHATEVER)
def test_no_two_rooms_share_a_key(one: tuple[str, str, str, str], other: tuple[str, str, str, str]) -> None:
    shared = every_key(one) & every_key(other)
    if one[:2] != other[:2]:
        assert not shared
    elif one != other:
        assert len(shared) == 1 + len(KINDS)


@given(TENANTS, TENANTS, ROOMS)
def test_no_room_has_a_key_of_a_tenants_registry(tenant_id: str, other: str, room: str) -> None:
    tenant = TenantKeys(other)
    registry = {*map(tenant.key, (b"x", b"i", b"u", b"v", b"j", b"o", b"a", b"b", b"t"))}
    registry |= {tenant.of_lease(kind, b"node.1") for kind in (b"lc", b"lr")}
    assert not registry & every_key((tenant_id, room, "", "k"))


def test_partitions_never_change() -> None:
    assert [partition_of("T1", "chat"), partition_of("T1"), partition_of("T2", "chat")] == [177, 149, 31]
    assert {partition_of("T1", f"room-{n}") for n in range(5_000)} == set(range(PARTITIONS))


def test_all_keys_of_a_room_are_in_its_slot() -> None:
    address = Keyspace(0).address("T1", "chat")
    assert all(b"{p%d}" % address.partition in key for key in every_key(("T1", "chat", "u", "k")))
    assert address.keys.channel == b"rc1:{p177}:c/T1/chat"
    assert Keyspace(2).address("T1", "chat").keys.channel == b"rc1.2:{p177}:c/T1/chat"
