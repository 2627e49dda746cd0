import json
import time
from base64 import urlsafe_b64decode
from typing import Any

import pytest

from service.tenants.audit import OPERATOR
from service.tenants.storage import Storage
from tests.api.conftest import make_tenant, with_storage
from tests.api.rest import Rest, Server, expects, socket_of


def claims_of(token: str) -> Any:
    payload = token.split(".")[1]
    return json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def test_a_signed_token_opens_a_socket_with_its_rights(server: Server, rest: Rest) -> None:
    body = {"user": "ann", "rooms": {"chat:*": ["join", "publish"]}, "join": ["chat:1"], "info": {"name": "Ann"}}
    answer = rest.ask("POST", "/v1/tokens", {**body, "ttl_seconds": 60, "send": True})
    assert answer.status_code == 201
    token, expires_at_ms = answer.json()["token"], answer.json()["expires_at_ms"]
    assert 58_000 < expires_at_ms - time.time() * 1000 <= 61_000
    assert claims_of(token)["send"] is True
    assert claims_of(token)["info"] == {"name": "Ann"}
    with socket_of(server, token) as socket:
        welcome = expects(socket, "welcome")
        assert (welcome["user"], welcome["expires_at_ms"]) == ("ann", expires_at_ms)
        assert expects(socket, "joined")["room"] == "chat:1"


def test_a_token_lives_an_hour_unless_asked_otherwise(rest: Rest) -> None:
    expires_at_ms = rest.ask("POST", "/v1/tokens", {"user": "ann"}).json()["expires_at_ms"]
    assert 3_598_000 < expires_at_ms - time.time() * 1000 <= 3_601_000


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({}, "$.user"),
        ({"user": ""}, "$.user"),
        ({"user": "a/b"}, "$.user"),
        ({"user": "u", "ttl_seconds": 0}, "$.ttl_seconds"),
        ({"user": "u", "ttl_seconds": 86_401}, "$.ttl_seconds"),
        ({"user": "u", "ttl_seconds": 1.5}, "$.ttl_seconds"),
        ({"user": "u", "send": "true"}, "$.send"),
        ({"user": "u", "join": ["two words"]}, "$.join[0]"),
        ({"user": "u", "rooms": {"a*b": ["join"]}}, "$.rooms"),
        ({"user": "u", "rooms": {"a": ["fly"]}}, "$.rooms[...][0]"),
        ({"user": "u", "info": "x" * 1023}, "$.info"),
        ({"user": "u", "info": 2**70}, "$.info"),
        ({"user": "u", "admin": True}, "$.admin"),
        ({"user": "u", "join": [f"{'x' * 190}{n}" for n in range(30)]}, "$.rooms"),
    ],
)
def test_a_token_that_would_not_verify_is_never_signed(rest: Rest, fields: dict[str, Any], path: str) -> None:
    problem = rest.refused("invalid", "POST", "/v1/tokens", fields)
    assert str(problem.path).startswith(path)
    assert "fly" not in problem.detail


@pytest.mark.provokes("error:conflict")
def test_a_tenant_without_a_key_to_sign_with_is_told_so(server: Server) -> None:
    tenant = make_tenant(server, "keyless")

    async def revoke(storage: Storage) -> None:
        await storage.keys.revoke_signing_key(OPERATOR, tenant.id, tenant.kid)

    with_storage(server, revoke)
    with Rest(server, tenant.api_key) as rest:
        rest.refused("conflict", "POST", "/v1/tokens", {"user": "u"})
