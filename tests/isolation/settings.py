"""What a tenant sets up for itself, tried by one of two tenants with the same names."""

import asyncio
import time
from typing import Any

from tests.isolation.conftest import Side
from tests.support.rest_client import Rest


async def makes_a_key(one: Side, _other: Side) -> list[Any]:
    made = (await one.rest.ask("POST", "/v1/keys", {"scopes": ["read"]})).json()
    assert made.pop("api_key").startswith(f"rck_{one.tenant.name}_")
    return [made]


async def lists_keys(one: Side, other: Side) -> list[Any]:
    await other.rest.ask("POST", "/v1/keys", {"scopes": ["read"]})
    page = await one.rest.get("/v1/keys")
    assert [item["key_id"] for item in page["items"]] == [key_id_of(one)]
    foreign = await other.rest.get("/v1/keys?limit=1")
    return [page, await one.rest.refused(400, "invalid", "GET", f"/v1/keys?cursor={foreign['next_cursor']}")]


async def revokes_a_key(one: Side, other: Side) -> list[Any]:
    await are_refused_alike(one, "/v1/keys", key_id_of(other), "000000000000")
    made = (await one.rest.ask("POST", "/v1/keys", {"scopes": ["read"]})).json()
    assert (await one.rest.ask("DELETE", f"/v1/keys/{made['key_id']}")).status_code == 204
    return []


async def makes_a_signing_key(one: Side, other: Side) -> list[Any]:
    # The other's kid is free here: kids are a tenant's own.
    made = await one.rest.ask("POST", "/v1/signing-keys", {"algorithm": "HS256", "kid": other.tenant.kid})
    assert made.status_code == 201
    return []


async def lists_signing_keys(one: Side, _other: Side) -> list[Any]:
    deadline = time.monotonic() + 5
    while (page := await one.rest.get("/v1/signing-keys"))["items"][0]["connections"] != 2:
        assert time.monotonic() < deadline, page
        await asyncio.sleep(0.05)
    assert [item["kid"] for item in page["items"]] == [one.tenant.kid]
    return [page]


async def revokes_a_signing_key(one: Side, other: Side) -> list[Any]:
    await are_refused_alike(one, "/v1/signing-keys", other.tenant.kid, "never-was")
    assert (await one.rest.ask("DELETE", f"/v1/signing-keys/{one.tenant.kid}")).status_code == 204
    for client in (one.near, one.far):
        await client.is_closed_with(4401)
    return []


async def lists_room_types(one: Side, other: Side) -> list[Any]:
    await other.rest.ask("PUT", "/v1/room-types/theirs-alone", {})
    page = await one.rest.get("/v1/room-types")
    assert page["items"] == []
    return [page]


async def reads_a_room_type(one: Side, other: Side) -> list[Any]:
    await other.rest.ask("PUT", "/v1/room-types/theirs-alone", {})
    for name in ("theirs-alone", "nobodys"):
        await one.rest.refused(404, "not_found", "GET", f"/v1/room-types/{name}")
    return []


async def puts_a_room_type(one: Side, other: Side) -> list[Any]:
    await other.rest.ask("PUT", "/v1/room-types/shared", {"pattern": "elsewhere"})
    put = await one.rest.ask("PUT", "/v1/room-types/shared", {"pattern": "elsewhere", "max_members": 1})
    assert put.status_code == 201
    assert (await other.rest.get("/v1/room-types/shared"))["max_members"] is None
    # The room of both: one of them has short messages in it from now on, the other goes on.
    assert (await one.rest.ask("PUT", "/v1/room-types/chat", {"max_message_bytes": 10})).status_code == 201
    return [put.json()]


async def deletes_a_room_type(one: Side, other: Side) -> list[Any]:
    await other.rest.ask("PUT", "/v1/room-types/theirs-alone", {})
    await are_refused_alike(one, "/v1/room-types", "theirs-alone", "nobodys")
    assert (await other.rest.get("/v1/room-types/theirs-alone"))["name"] == "theirs-alone"
    return []


async def reads_its_contract(one: Side, other: Side) -> list[Any]:
    await other.rest.ask("PUT", "/v1/contract", {"room_types": {"theirs-alone": {}}})
    contract = await one.rest.get("/v1/contract")
    assert contract == {"version": 0, "room_types": {}}
    return [contract]


async def puts_its_contract(one: Side, other: Side) -> list[Any]:
    other_one = {"room_types": {"shared": {"pattern": "elsewhere", "messages": {"said": {"type": "integer"}}}}}
    await other.rest.ask("PUT", "/v1/contract", other_one)
    # The room of both: in one of them nothing is let through from now on but texts, the other goes on.
    refusing = {"pattern": "chat", "messages": {"said": {"type": "string"}}, "additional": "refuse"}
    put = await one.rest.ask("PUT", "/v1/contract", {"room_types": {"shared": refusing}})
    assert put.json() == {
        "version": 1,
        "changes": [{"path": "$.room_types.shared", "change": "added", "breaking": False}],
    }
    refused = await one.rest.refused(422, "schema", "POST", "/v1/rooms/chat/messages", {"name": "said", "data": 1})
    assert (await other.rest.get("/v1/contract"))["room_types"]["shared"]["pattern"] == "elsewhere"
    return [put.json(), refused]


async def lists_its_versions(one: Side, other: Side) -> list[Any]:
    for most in (1, 2):
        await other.rest.ask("PUT", "/v1/contract", {"room_types": {"theirs-alone": {"max_members": most}}})
    foreign = await other.rest.get("/v1/contract/versions?limit=1")
    page = await one.rest.get("/v1/contract/versions")
    assert page["items"] == []
    refused = await one.rest.refused(400, "invalid", "GET", f"/v1/contract/versions?cursor={foreign['next_cursor']}")
    return [page, refused]


async def reads_a_version(one: Side, other: Side) -> list[Any]:
    await other.rest.ask("PUT", "/v1/contract", {"room_types": {"theirs-alone": {}}})
    answers = [
        str(await one.rest.refused(404, "not_found", "GET", f"/v1/contract/versions/{version}")).replace(version, "")
        for version in ("1", "7")
    ]
    assert answers[0] == answers[1]
    return answers


async def revokes_a_users_tokens(one: Side, _other: Side) -> list[Any]:
    body = {"user": "alice", "until_at_ms": int((time.time() + 600) * 1000)}
    assert (await one.rest.ask("POST", "/v1/revocations", body)).status_code == 202
    for client in (one.near, one.far):
        await client.is_closed_with(4401)
    return []


async def reads_the_audit(one: Side, other: Side) -> list[Any]:
    await other.rest.ask("PUT", "/v1/room-types/theirs-alone", {})
    page = await one.rest.get("/v1/audit")
    assert "theirs-alone" not in str(page)
    return [page]


async def reads_its_openapi(one: Side, other: Side) -> list[Any]:
    return [await _reads_a_document(one, other, "openapi")]


async def reads_its_asyncapi(one: Side, other: Side) -> list[Any]:
    return [await _reads_a_document(one, other, "asyncapi")]


async def _reads_a_document(one: Side, other: Side, name: str) -> Any:
    theirs = {"room_types": {"theirs-alone": {"messages": {"canary-name": {"type": "integer"}}}}}
    await other.rest.ask("PUT", "/v1/contract", theirs)
    document = await one.rest.get(f"/v1/contract/{name}.json")
    assert name in document
    assert "theirs-alone" not in str(document)
    assert "canary-name" not in str(document)
    return document


async def reads_its_stats(one: Side, _other: Side) -> list[Any]:
    stats = await one.rest.get("/v1/stats?seconds=60")
    assert max(point["connections"] for point in stats["items"]) <= 2  # each side has two
    return [stats]


async def reads_its_usage(one: Side, _other: Side) -> list[Any]:
    return [await one.rest.get("/v1/usage?unit=minute")]


async def are_refused_alike(one: Side, path: str, theirs: str, nobodys: str) -> None:
    """What is the other's is refused as what is nobody's."""
    answers = [
        str(await one.rest.refused(404, "not_found", "DELETE", f"{path}/{name}")).replace(name, "")
        for name in (theirs, nobodys)
    ]
    assert answers[0] == answers[1]


def key_id_of(side: Side) -> str:
    """Of its first API key."""
    return side.tenant.api_key.rsplit("_", 2)[1]


class OperatorsRest(Rest):
    """REST for one tenant at the operator's path, asked for as the tenant's own servers ask."""

    def __init__(self, address: str, operator_token: str, tenant: str) -> None:
        super().__init__(address, operator_token)
        self._below = f"/v1/tenants/{tenant}"

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request."""
        return await super().ask(method, path.replace("/v1", self._below, 1), body)
