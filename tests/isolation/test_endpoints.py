"""Each REST endpoint, by one of two tenants with the same rooms, users and keys."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from service.protocol.events import Direct, Gap, Left, Message
from tests.isolation import settings
from tests.isolation.conftest import Side, Sides
from tests.support.live_server import LiveNode
from tests.support.rest_client import Rest
from tests.support.wire_client import Client, Refused

pytestmark = pytest.mark.anyio


async def counts(one: Side, _other: Side) -> list[Any]:
    return [await one.rest.get("/v1/counts")]


async def lists_rooms(one: Side, _other: Side) -> list[Any]:
    page = await one.rest.get("/v1/rooms")
    assert page["items"] == [{"room": "chat", "connections": 2, "users": 1}]
    return [page]


async def reads_a_room(one: Side, other: Side) -> list[Any]:
    await other.near.publishes("theirs-alone")
    unseen = [
        await one.rest.refused(404, "not_found", "GET", f"/v1/rooms/{room}") for room in ("theirs-alone", "nobodys")
    ]
    assert unseen[0] == unseen[1]
    room = await one.rest.get("/v1/rooms/chat")
    assert (room["connections"], room["users"], room["position"]) == (2, 1, one.positions[2])
    return [room, *unseen]


async def lists_members(one: Side, other: Side) -> list[Any]:
    page = await one.rest.get("/v1/rooms/chat/members?limit=1")
    rest = await one.rest.get(f"/v1/rooms/chat/members?limit=1&cursor={page['next_cursor']}")
    found = {member["connection"] for member in page["members"] + rest["members"]}
    assert found == {one.near.welcome.connection, one.far.welcome.connection}
    foreign = await other.rest.get("/v1/rooms/chat/members?limit=1")
    refused = await one.rest.refused(400, "invalid", "GET", f"/v1/rooms/chat/members?cursor={foreign['next_cursor']}")
    return [page, rest, refused]


async def puts_a_user_out_of_a_room(one: Side, other: Side) -> list[Any]:
    await other.far.joins("chat", watch=True)
    assert (await one.rest.ask("DELETE", "/v1/rooms/chat/members/alice")).status_code == 202
    for client in (one.near, one.far):
        await client.expects(Left, room="chat", reason="server")
    return []


async def reads_messages(one: Side, other: Side) -> list[Any]:
    pages = [
        await one.rest.get("/v1/rooms/chat/messages"),
        await one.rest.get(f"/v1/rooms/chat/messages?since={other.positions[0]}"),
        await one.rest.get(f"/v1/rooms/chat/messages?before={other.positions[2]}"),
    ]
    assert [page["complete"] for page in pages] == [True, False, True]
    return pages


async def publishes(one: Side, other: Side) -> list[Any]:
    left_out = [other.near.welcome.connection, one.far.welcome.connection]
    answer = await one.rest.publish("chat", "new", key="k0", exclude=left_out)
    assert not answer["duplicate"]  # the servers' scope is another than alice's
    await one.near.expects(Message, data="new", from_=None)
    return [answer]


async def publishes_a_batch(one: Side, _other: Side) -> list[Any]:
    messages = [{"room": "chat", "data": number, "key": f"k{number}"} for number in range(2)]
    answer = (await one.rest.ask("POST", "/v1/messages", {"messages": messages})).json()
    for client in (one.near, one.far):
        for number in range(2):
            await client.expects(Message, data=number)
    return [answer]


async def forgets_messages(one: Side, _other: Side) -> list[Any]:
    assert (await one.rest.ask("DELETE", "/v1/rooms/chat/messages")).status_code == 204
    for client in (one.near, one.far):
        await client.expects(Gap, reason="epoch")
    return []


async def reads_a_user(one: Side, _other: Side) -> list[Any]:
    user = await one.rest.get("/v1/users/alice")
    assert user["connections"] == sorted([one.near.welcome.connection, one.far.welcome.connection])
    return [user]


async def sends_to_a_user(one: Side, _other: Side) -> list[Any]:
    assert (await one.rest.ask("POST", "/v1/users/alice/messages", {"data": 1})).status_code == 202
    for client in (one.near, one.far):
        await client.expects(Direct, data=1)
    return []


async def disconnects_a_user(one: Side, _other: Side) -> list[Any]:
    assert (await one.rest.ask("DELETE", "/v1/users/alice/connections")).status_code == 202
    for client in (one.near, one.far):
        await client.is_closed_with(4409)
    return []


async def lists_connections(one: Side, other: Side) -> list[Any]:
    page = await one.rest.get("/v1/connections?limit=1")
    rest = await one.rest.get(f"/v1/connections?limit=1&cursor={page['next_cursor']}")
    found = {item["connection"] for item in page["items"] + rest["items"]}
    assert found == {one.near.welcome.connection, one.far.welcome.connection}
    foreign = await other.rest.get("/v1/connections?limit=1")
    refused = await one.rest.refused(400, "invalid", "GET", f"/v1/connections?cursor={foreign['next_cursor']}")
    return [page, rest, refused]


async def reads_a_connection(one: Side, other: Side) -> list[Any]:
    answers = [
        await one.rest.refused(404, "not_found", "GET", f"/v1/connections/{connection}")
        for connection in (other.near.welcome.connection, "never-seen-connection")
    ]
    assert answers[0] == answers[1]
    return [await one.rest.get(f"/v1/connections/{one.near.welcome.connection}")]


async def disconnects_a_connection(one: Side, other: Side) -> list[Any]:
    answers = [
        await one.rest.refused(404, "not_found", "DELETE", f"/v1/connections/{connection}")
        for connection in (other.near.welcome.connection, other.far.welcome.connection, "never-seen-connection")
    ]
    assert answers[0] == answers[1] == answers[2]
    return answers


async def signs_a_token(one: Side, other: Side) -> list[Any]:
    answer = (await one.rest.ask("POST", "/v1/tokens", {"user": "alice", "rooms": {"*": ["*"]}})).json()
    await other.near.refused("forbidden", "authenticate", token=answer["token"])
    return []


async def runs_a_command(one: Side, _other: Side) -> list[Any]:
    return [await one.user.command("history", room="chat")]  # the rest of them in test_commands.py


Act = Callable[[Side, Side], Awaitable[list[Any]]]
ACTS: dict[tuple[str, str], Act] = {
    ("get", "/v1/counts"): counts,
    ("get", "/v1/rooms"): lists_rooms,
    ("get", "/v1/rooms/{room}"): reads_a_room,
    ("get", "/v1/rooms/{room}/members"): lists_members,
    ("delete", "/v1/rooms/{room}/members/{user}"): puts_a_user_out_of_a_room,
    ("get", "/v1/rooms/{room}/messages"): reads_messages,
    ("post", "/v1/rooms/{room}/messages"): publishes,
    ("delete", "/v1/rooms/{room}/messages"): forgets_messages,
    ("post", "/v1/messages"): publishes_a_batch,
    ("get", "/v1/users/{user}"): reads_a_user,
    ("post", "/v1/users/{user}/messages"): sends_to_a_user,
    ("delete", "/v1/users/{user}/connections"): disconnects_a_user,
    ("get", "/v1/connections"): lists_connections,
    ("get", "/v1/connections/{connection}"): reads_a_connection,
    ("delete", "/v1/connections/{connection}"): disconnects_a_connection,
    ("post", "/v1/tokens"): signs_a_token,
    ("post", "/v1/commands"): runs_a_command,
    ("post", "/v1/keys"): settings.makes_a_key,
    ("get", "/v1/keys"): settings.lists_keys,
    ("delete", "/v1/keys/{key_id}"): settings.revokes_a_key,
    ("post", "/v1/signing-keys"): settings.makes_a_signing_key,
    ("get", "/v1/signing-keys"): settings.lists_signing_keys,
    ("delete", "/v1/signing-keys/{kid}"): settings.revokes_a_signing_key,
    ("get", "/v1/room-types"): settings.lists_room_types,
    ("get", "/v1/room-types/{name}"): settings.reads_a_room_type,
    ("put", "/v1/room-types/{name}"): settings.puts_a_room_type,
    ("delete", "/v1/room-types/{name}"): settings.deletes_a_room_type,
    ("get", "/v1/contract"): settings.reads_its_contract,
    ("put", "/v1/contract"): settings.puts_its_contract,
    ("get", "/v1/contract/versions"): settings.lists_its_versions,
    ("get", "/v1/contract/versions/{version}"): settings.reads_a_version,
    ("get", "/v1/contract/openapi.json"): settings.reads_its_openapi,
    ("get", "/v1/contract/asyncapi.json"): settings.reads_its_asyncapi,
    ("get", "/v1/stats"): settings.reads_its_stats,
    ("post", "/v1/revocations"): settings.revokes_a_users_tokens,
    ("get", "/v1/audit"): settings.reads_the_audit,
    ("get", "/v1/usage"): settings.reads_its_usage,
}
OPEN = {("get", "/health/live"), ("get", "/health/ready")}
OPERATORS = ("/v1/tenants", "/v1/nodes", "/v1/redis")


async def endpoints(node: LiveNode) -> set[tuple[str, str]]:
    async with httpx.AsyncClient() as client:
        paths = (await client.get(f"{node.address}/schema/openapi.json")).json()["paths"]
    return {(method, path) for path, item in paths.items() for method in item}


async def test_every_endpoint_is_tried(node: LiveNode) -> None:
    found = await endpoints(node)
    assert set(ACTS) | OPEN == {(method, path) for method, path in found if not path.startswith(OPERATORS)}


@pytest.mark.parametrize("endpoint", ACTS, ids=" ".join)
async def test_an_endpoint_shows_and_touches_its_own_tenant_alone(sides: Sides, endpoint: tuple[str, str]) -> None:
    one, other = sides
    await shows_nothing_of_the_other(await ACTS[endpoint](one, other), other)


@pytest.mark.parametrize("endpoint", [endpoint for endpoint in ACTS if endpoint[1] != "/v1/commands"], ids=" ".join)
async def test_so_does_the_operator_for_one_tenant(
    sides: Sides, endpoint: tuple[str, str], operator_token: str, node: LiveNode
) -> None:
    one, other = sides
    async with settings.OperatorsRest(node.address, operator_token, one.tenant.name) as rest:
        await shows_nothing_of_the_other(await ACTS[endpoint](one._replace(rest=rest), other), other)


async def test_an_api_key_is_forbidden_at_each_of_the_operators_endpoints(sides: Sides, node: LiveNode) -> None:
    one, other = sides
    for method, template in await endpoints(node):
        if not template.startswith(OPERATORS):
            continue
        path = template.replace("{room}", "chat").replace("{user}", "alice").replace("{connection}", "c")
        path = path.replace("{version}", "1")
        refusals = [
            await one.rest.refused(403, "forbidden", method.upper(), path.replace("{tenant}", name))
            for name in (one.tenant.name, other.tenant.name, "never-was")
        ]
        assert all(refusal == refusals[0] for refusal in refusals)
        # A wrong token is told so ten times a minute.
        assert (await one.user.ask(method.upper(), path.replace("{tenant}", "t"))).status_code in (401, 429)
    await one.is_unharmed()
    await other.is_unharmed()


async def shows_nothing_of_the_other(answers: list[Any], other: Side) -> None:
    shown = str(answers)
    theirs = [other.word, other.tenant.name, other.tenant.id, other.tenant.kid, other.positions[0].partition(":")[0]]
    theirs += [other.near.welcome.connection, other.far.welcome.connection]
    assert not [text for text in theirs if text in shown]
    await other.is_unharmed()


async def test_credentials_open_their_own_tenant_alone(sides: Sides, node: LiveNode) -> None:
    one, other = sides
    key_id, _, secret = one.tenant.api_key.removeprefix(f"rck_{one.tenant.name}_").partition("_")
    their_id, _, their_secret = other.tenant.api_key.removeprefix(f"rck_{other.tenant.name}_").partition("_")
    refusals = []
    for key in (
        f"rck_{other.tenant.name}_{key_id}_{secret}",
        f"rck_{other.tenant.name}_{their_id}_{secret}",
        f"rck_{one.tenant.name}_{their_id}_{their_secret}",
        f"rck_no-such-tenant_{key_id}_{secret}",
        f"rck_{one.tenant.name}_{key_id}_{their_secret}",
    ):
        async with Rest(node.address, key) as rest:
            refusals.append(await rest.refused(401, "unauthenticated", "GET", "/v1/counts"))
    assert all(refusal == refusals[0] for refusal in refusals)
    async with Rest(node.address, one.tenant.token()) as rest:
        await rest.refused(401, "unauthenticated", "GET", "/v1/counts")
    async with Rest(node.address, one.tenant.api_key) as rest:
        await rest.refused(401, "unauthenticated", "POST", "/v1/commands", {"type": "ping"})
    for token in (
        one.tenant.token(tid=other.tenant.name),
        one.tenant._replace(name=other.tenant.name, kid=other.tenant.kid).token(),
        one.tenant.api_key,
    ):
        with pytest.raises(Refused) as refused:
            await Client.open(node.address, token)
        assert refused.value.status == 401
    await one.is_unharmed()
    await other.is_unharmed()
