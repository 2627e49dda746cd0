"""Each command, by one of two tenants with the same rooms, users and keys."""

from collections.abc import Awaitable, Callable
from typing import get_args

import msgspec
import pytest

from service.protocol.commands import WebSocketCommand
from service.protocol.events import (
    Direct,
    Gap,
    HistoryEvent,
    Left,
    MembersEvent,
    Message,
    Occupancy,
    Pong,
    Presence,
    Sent,
    SignalEvent,
    Signalled,
    StateSet,
)
from service.tenants.audit import OPERATOR
from tests.isolation.conftest import Side, Sides
from tests.support.live_server import LiveNode
from tests.support.wire_client import Client

pytestmark = pytest.mark.anyio


async def authenticates(one: Side, other: Side) -> None:
    # Whether the other's token is true, forged or of a tenant that never was: the answer is one and the same.
    forged = one.tenant._replace(name=other.tenant.name).token()
    refusals = {
        (await one.near.refused("forbidden", "authenticate", token=token)).message
        for token in (other.tenant.token(), forged, one.tenant._replace(name="never-was").token())
    }
    assert len(refusals) == 1
    for token in (
        other.tenant._replace(name=one.tenant.name).token(),
        one.tenant._replace(kid=other.tenant.kid).token(),
        other.tenant._replace(kid=one.tenant.kid, name=one.tenant.name).token(),
        other.tenant.api_key,
    ):
        await one.near.refused("unauthenticated", "authenticate", token=token)
    await one.near.publishes("chat", "as before")
    await one.far.expects(Message)


async def joins(one: Side, other: Side) -> None:
    joined = await one.near.joins("chat")
    assert (joined.position, joined.occupancy.connections) == (one.positions[2], 2)
    joined = await one.near.joins("chat", since=other.positions[0])
    assert joined.recovered is False
    assert (await one.near.expects(Gap)).reason == "epoch"


async def leaves(one: Side, _other: Side) -> None:
    await one.near.asks(Left, "leave", room="chat")
    await one.far.asks(Left, "leave", room="chat")


async def publishes(one: Side, other: Side) -> None:
    published = await one.near.publishes("chat", "new", key="k9")
    assert str(published.position).partition(":")[0] == one.positions[0].partition(":")[0]
    await one.far.expects(Message, data="new", offset=4)
    again = await one.near.publishes("chat", "again", key="k0")
    assert (again.position, again.duplicate) == (one.positions[0], True)
    theirs = await other.near.publishes("chat", f"{other.word} 0", key="k9")  # not known there
    assert not theirs.duplicate
    assert not str(theirs.position).startswith(one.positions[0].partition(":")[0])
    await other.far.expects(Message, offset=4)


async def signals(one: Side, _other: Side) -> None:
    await one.near.asks(Signalled, "signal", room="chat", data=1)
    await one.far.expects(SignalEvent)


async def sends(one: Side, _other: Side) -> None:
    await one.near.sends("send", user="alice", data=1)
    for client in (one.near, one.far):
        await client.expects(Direct)
    await one.near.asks(Sent, "send", user="bob", data=1)


async def reads_history(one: Side, other: Side) -> None:
    pages = [
        await one.near.history("chat"),
        await one.near.history("chat", since=other.positions[0]),
        await one.near.history("chat", before=other.positions[2]),
    ]
    assert [page.complete for page in pages] == [True, False, True]
    assert [len(page.messages) for page in pages] == [3, 3, 0]  # what is kept lies behind another epoch
    for page in pages:
        assert page.position == one.positions[2]
        assert other.word.encode() not in msgspec.json.encode(page)


async def pings(one: Side, _other: Side) -> None:
    await one.near.asks(Pong, "ping")


async def asks_for_members(one: Side, other: Side) -> None:
    page = await one.near.asks(MembersEvent, "members", room="chat", limit=1)
    rest = await one.near.asks(MembersEvent, "members", room="chat", cursor=page.next_cursor)
    found = {member.connection for member in page.members + rest.members}
    assert found == {one.near.welcome.connection, one.far.welcome.connection}
    assert page.occupancy == rest.occupancy == Occupancy(connections=2, users=1)
    foreign = await other.near.asks(MembersEvent, "members", room="chat", limit=1)
    await one.near.refused("invalid", "members", room="chat", cursor=foreign.next_cursor)


async def sets_state(one: Side, other: Side) -> None:
    for side in (one, other):
        await side.far.joins("chat", watch=True)
    await one.near.asks(StateSet, "set_state", room="chat", state=one.word)
    told = await one.far.expects(Presence)
    assert [member.connection for member in told.changed] == [one.near.welcome.connection]


ACTS: dict[str, Callable[[Side, Side], Awaitable[None]]] = {
    "authenticate": authenticates,
    "join": joins,
    "leave": leaves,
    "publish": publishes,
    "signal": signals,
    "send": sends,
    "set_state": sets_state,
    "members": asks_for_members,
    "history": reads_history,
    "ping": pings,
}


def test_every_command_is_tried() -> None:
    assert set(ACTS) == {command.__struct_config__.tag for command in get_args(WebSocketCommand)}


@pytest.mark.parametrize("command", ACTS)
async def test_a_command_shows_and_touches_its_own_tenant_alone(sides: Sides, command: str) -> None:
    one, other = sides
    await ACTS[command](one, other)
    await one.hears_nothing()
    if command == "publish":
        await other.hears_nothing()  # it has published itself
    else:
        await other.is_unharmed()


async def test_commands_over_http_show_and_touch_their_own_tenant_alone(sides: Sides) -> None:
    one, other = sides
    answer = await one.user.command("publish", room="chat", data="new", key="over http")
    assert answer["position"].partition(":")[0] == one.positions[0].partition(":")[0]
    again = await one.user.command("publish", room="chat", data="again", key="k1")
    assert (again["position"], again["duplicate"]) == (one.positions[1], True)
    await one.user.command("send", user="alice", data=1)
    page = await one.user.command("history", room="chat", since=other.positions[0])
    assert other.word not in str(page)
    assert not page["complete"]
    await one.user.command("ping")
    for client in (one.near, one.far):
        assert {type(await client.next()) for _ in range(2)} == {Message, Direct}
    await one.hears_nothing()
    await other.is_unharmed()


async def test_a_name_that_was_deleted_and_made_again_knows_nothing_of_before(sides: Sides, node: LiveNode) -> None:
    one, other = sides
    storage, name = one.tenant.storage, one.tenant.name
    await storage.tenants.delete(OPERATOR, name)
    for client in (one.near, one.far):
        await client.is_closed_with(4403)
    new = await storage.tenants.create(OPERATOR, name)
    tenant = one.tenant._replace(id=new.tenant.id, kid=new.kid, secret=new.secret, api_key=new.api_key)
    reborn = await Client.open(node.address, tenant.token())
    joined = await reborn.joins("chat", since=one.positions[0])
    assert (joined.recovered, joined.occupancy.connections) == (False, 1)
    await reborn.expects(Gap, reason="epoch")
    page = await reborn.asks(HistoryEvent, "history", room="chat")
    assert page.messages == []
    assert not (await reborn.publishes("chat", 1, key="k0")).duplicate
    await reborn.close()
    await other.is_unharmed()
