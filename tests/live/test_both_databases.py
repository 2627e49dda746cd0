"""REST answers the same on SQLite and on PostgreSQL, which differ in what texts, numbers and orders they take."""

from typing import Any

import pytest

from service.protocol.instants import LAST_INSTANT_MS
from service.tenants.storage import Storage
from tests.support.fixtures import Cluster
from tests.support.rest_client import Rest
from tests.support.tenants import make_tenant

pytestmark = pytest.mark.anyio

AHEAD_MS = LAST_INSTANT_MS
KEY = {"name": "n", "scopes": ["read"]}
REQUESTS: list[tuple[int, str, str, Any]] = [
    (400, "DELETE", "/v1/keys/%00", None),
    (400, "DELETE", "/v1/keys/a%00b", None),
    (400, "DELETE", "/v1/signing-keys/%00", None),
    (400, "DELETE", f"/v1/signing-keys/{'x' * 300}", None),
    (400, "DELETE", "/v1/room-types/%00", None),
    (400, "GET", "/v1/room-types/%F0%9F%92%A9", None),
    (400, "GET", "/v1/room-types?cursor=%00", None),
    (200, "GET", "/v1/audit?from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59Z&limit=1", None),
    (201, "POST", "/v1/keys", KEY),
    (400, "POST", "/v1/keys", KEY | {"name": "\0"}),
    (201, "POST", "/v1/keys", KEY | {"name": "\U0001f4a9" * 200}),
    (400, "POST", "/v1/keys", KEY | {"name": "x" * 201}),
    (400, "POST", "/v1/keys", KEY | {"expires_at_ms": 2**63}),
    (201, "POST", "/v1/keys", KEY | {"expires_at_ms": AHEAD_MS}),
    (400, "POST", "/v1/keys", KEY | {"expires_at_ms": -1}),
    (201, "POST", "/v1/signing-keys", {"algorithm": "HS256", "kid": "k" * 64}),
    (409, "POST", "/v1/signing-keys", {"algorithm": "HS256", "kid": "k" * 64}),
    (400, "POST", "/v1/signing-keys", {"algorithm": "HS256", "kid": "k" * 65}),
    (400, "POST", "/v1/signing-keys", {"algorithm": "HS256", "kid": "k\0"}),
    (201, "PUT", "/v1/room-types/chat", {"pattern": "c" * 200 + "*", "presence_grace_seconds": 0.1}),
    (400, "PUT", "/v1/room-types/chat", {"pattern": "c" * 201 + "*"}),
    (409, "PUT", "/v1/room-types/other", {"pattern": "c" * 200 + "*"}),
    (400, "PUT", "/v1/room-types/other", {"pattern": "o\0"}),
    (201, "PUT", "/v1/room-types/Chat", {}),
    (200, "GET", "/v1/room-types", None),
    (202, "POST", "/v1/revocations", {"user": "\U0001f4a9" * 128, "until_at_ms": AHEAD_MS}),
    (400, "POST", "/v1/revocations", {"user": "a\0", "until_at_ms": AHEAD_MS}),
    (400, "POST", "/v1/revocations", {"jti": "\0", "until_at_ms": AHEAD_MS}),
    (400, "POST", "/v1/revocations", {"jti": "t" * 257, "until_at_ms": AHEAD_MS}),
    (202, "POST", "/v1/revocations", {"jti": "\u2028' OR 1=1 --", "until_at_ms": AHEAD_MS}),
    (400, "POST", "/v1/revocations", {"jti": "t", "until_at_ms": 2**64}),
]


async def answers(cluster: Cluster, storage: Storage) -> list[int]:
    """The status of each request, by a tenant of its own."""
    tenant = await make_tenant(storage)
    async with Rest(cluster.nodes[0].address, tenant.api_key) as rest:
        return [(await rest.ask(method, path, body)).status_code for _, method, path, body in REQUESTS]


async def test_rest_answers_the_same_on_both_and_nothing_is_a_bug_or_out_of_reach(
    cluster: Cluster, storage: Storage, sql_cluster: Cluster, sql_storage: Storage
) -> None:
    for answered in (await answers(cluster, storage), await answers(sql_cluster, sql_storage)):
        assert [pair for pair in zip(REQUESTS, answered, strict=True) if pair[0][0] != pair[1]] == []
