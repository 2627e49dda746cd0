import time

import pytest

from service.protocol.events import Authenticated, Expiring, Left, Message, Published
from tests.support.fixtures import Connect, NewTenant
from tests.support.tenants import Tenant

pytestmark = pytest.mark.anyio


async def test_a_newer_token_replaces_rights_and_expiry(connect: Connect, tenant: Tenant, binary: bool) -> None:
    alice = await connect(claims={"rooms": {"chat": ["join"]}, "send": None}, binary=binary)
    await alice.refused("forbidden", "publish", room="chat", data=1)
    token = tenant.token("alice", rooms={"chat": ["publish"]}, ttl_seconds=7200)
    answer = await alice.asks(Authenticated, "authenticate", token=token)
    assert abs(answer.expires_at_ms / 1000 - time.time() - 7200) < 5
    await alice.publishes("chat", 1)


async def test_the_new_rights_count_for_the_very_next_command(connect: Connect, tenant: Tenant) -> None:
    alice = await connect(claims={"rooms": {}})
    await alice.sends("publish", room="chat", data=1, id=1)
    await alice.sends("authenticate", token=tenant.token("alice"))
    await alice.sends("publish", room="chat", data=2, id=2)
    assert (await alice.next()).__class__.__name__ == "ErrorEvent"
    await alice.expects(Published, id=2)


async def test_rooms_no_longer_allowed_are_left(connect: Connect, tenant: Tenant, binary: bool) -> None:
    alice, bob = await connect("alice", binary=binary), await connect("bob")
    for room in ("kept", "lost", "claimed"):
        await alice.joins(room)
    token = tenant.token("alice", rooms={"kept": ["join"]}, join=["claimed", "new"])
    await alice.sends("authenticate", token=token, id="a")
    await alice.expects(Left, room="lost", reason="rights")
    await alice.expects(Authenticated, id="a")
    await alice.hears_nothing()  # the claim `join` joins nothing
    await bob.publishes("lost", "unheard")
    for room in ("kept", "claimed"):
        await bob.publishes(room, room)
        await alice.expects(Message, room=room)
    assert (await bob.joins("lost")).occupancy.connections == 1


async def test_a_join_under_way_does_not_outlive_its_right(connect: Connect, tenant: Tenant) -> None:
    alice, bob = await connect("alice"), await connect("bob")
    token = tenant.token("alice", rooms={"other": ["join"]})
    await alice.sends_together(
        {"type": "join", "room": "chat", "id": "j"}, {"type": "authenticate", "token": token, "id": "a"}
    )
    await alice.skips_to(Left)
    await alice.joins("other")
    await bob.publishes("chat", "secret of those who may")
    await bob.publishes("other", "for all")
    await alice.expects(Message, room="other")


@pytest.mark.provokes("error:unauthenticated", "error:forbidden")
async def test_a_failure_leaves_the_old_token_in_force(connect: Connect, tenant: Tenant, new_tenant: NewTenant) -> None:
    alice = await connect(claims={"rooms": {"chat": ["join", "publish"]}})
    other = await new_tenant()
    for token, code in (
        (tenant.token("bob"), "forbidden"),
        (other.token("alice"), "forbidden"),
        (other._replace(name=tenant.name).token("alice"), "unauthenticated"),
        (tenant.token("alice", ttl_seconds=-1), "unauthenticated"),
        (tenant.token("alice")[:-4] + "AAAA", "unauthenticated"),
        ("no token", "unauthenticated"),
    ):
        await alice.refused(code, "authenticate", token=token)
    await alice.joins("chat")
    await alice.publishes("chat", 1)


async def test_a_new_token_in_time_keeps_the_socket(connect: Connect, tenant: Tenant) -> None:
    alice = await connect(claims={"ttl_seconds": 30})
    assert 28 <= (await alice.expects(Expiring)).in_seconds <= 30
    await alice.asks(Authenticated, "authenticate", token=tenant.token("alice"))
    await alice.sends("authenticate", token=tenant.token("alice", ttl_seconds=20), id=2)
    events = [await alice.next(), await alice.next()]
    assert {type(event) for event in events} == {Expiring, Authenticated}


@pytest.mark.provokes("close:4401")
async def test_a_token_that_ends_closes_the_socket(connect: Connect, binary: bool) -> None:
    alice = await connect(claims={"ttl_seconds": 2}, binary=binary)
    started = time.monotonic()
    assert (await alice.expects(Expiring)).in_seconds in (1, 2)
    closing = await alice.is_closed_with(4401)
    assert 1.0 <= time.monotonic() - started <= 3.5
    assert closing is not None
    assert closing.reconnect
