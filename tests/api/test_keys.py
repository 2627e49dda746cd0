"""A tenant's keys over REST: made, listed, rotated, revoked."""

import json
import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey

from service.tenants.limits import Limits
from tests.api.conftest import make_tenant
from tests.api.rest import Rest, Server, Tenant, expects, socket_of, within

HOUR_MS = 3_600_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def token_under(key: Any, algorithm: str, kid: str, tenant: Tenant, user: str = "ann") -> str:
    now = int(time.time())
    claims = {"tid": tenant.name, "sub": user, "iat": now, "exp": now + 600}
    return jwt.encode({"alg": algorithm, "kid": kid}, claims, key, algorithms=[algorithm])


def listed(client: Rest, path: str, name: str) -> dict[str, Any]:
    return {item[name]: item for item in client.gets(f"{path}?limit=1000")["items"]}


def test_an_api_key_opens_its_scopes_until_it_is_revoked(server: Server) -> None:
    tenant = make_tenant(server, "key-maker")
    with Rest(server, tenant.api_key) as manager:
        before = now_ms()
        made = manager.ask("POST", "/v1/keys", {"name": "back office", "scopes": ["read"]}).json()
        text = made.pop("api_key")
        assert text.startswith(f"rck_key-maker_{made['key_id']}_")
        assert before <= made["created_at_ms"] <= now_ms()
        assert made == {
            "key_id": made["key_id"], "name": "back office", "scopes": ["read"], "created_at_ms": made["created_at_ms"],
            "last_used_at_ms": None, "expires_at_ms": None, "revoked_at_ms": None,
        }  # fmt: skip
        assert listed(manager, "/v1/keys", "key_id")[made["key_id"]] == made
        with Rest(server, text) as reader:
            within(2, lambda: reader.ask("GET", "/v1/counts").status_code, 200)
            reader.refused("forbidden", "POST", "/v1/keys", {"scopes": ["read"]})
            for _ in range(2):  # said twice is said once
                assert manager.ask("DELETE", f"/v1/keys/{made['key_id']}").status_code == 204
            within(2, lambda: reader.ask("GET", "/v1/counts").status_code, 401)
        assert listed(manager, "/v1/keys", "key_id")[made["key_id"]]["revoked_at_ms"] >= before
        assert manager.gets("/v1/counts")["connections"] == 0


def test_a_key_may_revoke_itself(server: Server) -> None:
    tenant = make_tenant(server, "self-ending")
    with Rest(server, tenant.api_key) as client:
        assert client.ask("DELETE", f"/v1/keys/{tenant.api_key.split('_')[2]}").status_code == 204
        within(2, lambda: client.ask("GET", "/v1/counts").status_code, 401)


def test_an_expired_key_opens_nothing(server: Server, rest: Rest) -> None:
    made = rest.ask("POST", "/v1/keys", {"scopes": ["read"], "expires_at_ms": now_ms() + 1500}).json()
    with Rest(server, made["api_key"]) as client:
        within(1, lambda: client.ask("GET", "/v1/counts").status_code, 200)
        within(3, lambda: client.ask("GET", "/v1/counts").status_code, 401)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "$.scopes"),
        ({"scopes": []}, "$.scopes"),
        ({"scopes": ["admin"]}, "$.scopes[0]"),
        ({"scopes": "read"}, "$.scopes"),
        ({"scopes": ["read"], "name": "x" * 201}, "$.name"),
        ({"scopes": ["read"], "name": "a\u0000b"}, "$.name"),
        ({"scopes": ["read"], "name": None}, "$.name"),
        ({"scopes": ["read"], "expires_at_ms": 1_700_000_000}, "$.expires_at_ms"),
        ({"scopes": ["read"], "expires_at_ms": -1}, "$.expires_at_ms"),
        ({"scopes": ["read"], "expires_at_ms": 2**53 - 1}, "$.expires_at_ms"),
        ({"scopes": ["read"], "expires_at_ms": "2027-01-01T00:00:00Z"}, "$.expires_at_ms"),
        ({"scopes": ["read"], "key_id": "chosen"}, "$.key_id"),
    ],
)
def test_an_api_key_that_cannot_be_is_not_made(rest: Rest, body: object, path: str) -> None:
    before = listed(rest, "/v1/keys", "key_id").keys()
    assert rest.refused("invalid", "POST", "/v1/keys", body).path == path
    assert listed(rest, "/v1/keys", "key_id").keys() == before


@pytest.mark.provokes("error:too_many", "limit:max_api_keys", "limit:max_signing_keys")
def test_keys_are_counted(server: Server) -> None:
    tenant = make_tenant(server, "many-keys", Limits(max_api_keys=6, max_signing_keys=2))  # five and one are there
    with Rest(server, tenant.api_key) as client:
        for path, body, limit in (
            ("/v1/keys", {"scopes": ["read"]}, "max_api_keys"),
            ("/v1/signing-keys", {"algorithm": "HS256"}, "max_signing_keys"),
        ):
            made = client.ask("POST", path, body)
            assert made.status_code == 201, made.text
            problem = client.refused("too_many", "POST", path, body)
            assert (problem.limit, problem.scope) == (limit, "tenant")
            ended = made.json().get("key_id") or made.json()["kid"]
            assert client.ask("DELETE", f"{path}/{ended}").status_code == 204
            assert client.ask("POST", path, body).status_code == 201


def test_keys_are_listed_page_by_page_and_a_cursor_fits_one_list_of_one_tenant(
    server: Server, rest: Rest, globex: Tenant
) -> None:
    found: list[str] = []
    path = "/v1/keys?limit=2"
    while True:
        page = rest.gets(path)
        found += [item["key_id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = page["next_cursor"]
        path = f"/v1/keys?limit=2&cursor={cursor}"
    assert len(found) >= 5
    assert found == sorted(set(found))
    assert rest.refused("invalid", "GET", f"/v1/signing-keys?cursor={cursor}").path == "$.cursor"
    with Rest(server, globex.api_key) as stranger:
        assert stranger.refused("invalid", "GET", f"/v1/keys?cursor={cursor}").path == "$.cursor"


def test_another_tenants_key_is_not_found(server: Server, rest: Rest, globex: Tenant) -> None:
    theirs = globex.api_key.split("_")[2]
    for key_id in (theirs, "000000000000"):
        assert rest.refused("not_found", "DELETE", f"/v1/keys/{key_id}").detail == f"no such key: {key_id}"
    rest.refused("not_found", "DELETE", f"/v1/signing-keys/{globex.kid}")
    with Rest(server, globex.api_key) as client:
        assert client.gets("/v1/counts") is not None


@pytest.mark.provokes("close:4401")
def test_signing_keys_rotate_without_a_lost_connection(server: Server) -> None:
    tenant = make_tenant(server, "rotating")
    with Rest(server, tenant.api_key) as client:
        made = client.ask("POST", "/v1/signing-keys", {"algorithm": "HS256", "name": "second", "kid": "v2"}).json()
        assert made.keys() == {
            "kid", "name", "algorithm", "jwk", "created_at_ms", "last_used_at_ms", "expires_at_ms", "revoked_at_ms",
            "secret",
        }  # fmt: skip
        assert (made["kid"], made["jwk"]) == ("v2", None)
        new_token = token_under(OctKey.import_key(made["secret"]), "HS256", "v2", tenant)

        def connections() -> list[int]:
            keys = listed(client, "/v1/signing-keys", "kid")
            return [keys[tenant.kid]["connections"], keys["v2"]["connections"]]

        with socket_of(server, tenant.token("ann")) as one, socket_of(server, tenant.token("bob")) as other:
            for socket in (one, other):
                expects(socket, "welcome")
            within(3, connections, [2, 0])
            one.send(json.dumps({"type": "authenticate", "token": new_token, "id": 1}))
            expects(one, "authenticated")
            within(3, connections, [1, 1])  # refreshed ones are counted under their new key
            assert client.ask("DELETE", f"/v1/signing-keys/{tenant.kid}").status_code == 204
            assert expects(other, "closing")["code"] == 4401
            within(3, connections, [0, 1])
            one.send(json.dumps({"type": "ping", "id": 2}))
            expects(one, "pong")
        keys = listed(client, "/v1/signing-keys", "kid")
        assert keys[tenant.kid]["revoked_at_ms"] is not None
        assert "secret" not in str(keys)


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("ES256", ECKey.generate_key("P-256")),
        ("EdDSA", OKPKey.generate_key("Ed25519")),
        ("Ed25519", OKPKey.generate_key("Ed25519")),
    ],
)
@pytest.mark.parametrize("form", ["pem", "jwk"])
def test_an_imported_public_key_verifies_tokens(
    server: Server, acme: Tenant, rest: Rest, algorithm: str, key: Any, form: str
) -> None:
    public = key.as_pem(private=False).decode() if form == "pem" else key.as_dict(private=False)
    made = rest.ask("POST", "/v1/signing-keys", {"algorithm": algorithm, form: public})
    assert made.status_code == 201, made.text
    assert "secret" not in made.json()
    assert made.json()["jwk"]["x"] == key.as_dict(private=False)["x"]
    token = token_under(key, "Ed25519" if algorithm == "EdDSA" else algorithm, made.json()["kid"], acme)
    with socket_of(server, token) as socket:
        assert expects(socket, "welcome")["user"] == "ann"
    assert rest.ask("DELETE", f"/v1/signing-keys/{made.json()['kid']}").status_code == 204


PUBLIC = ECKey.generate_key("P-256").as_dict(private=False)
PRIVATE = ECKey.generate_key("P-256")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "$.algorithm"),
        ({"algorithm": "none"}, "$.algorithm"),
        ({"algorithm": "RS256"}, "$.algorithm"),
        ({"algorithm": "HS256", "jwk": PUBLIC}, "$.jwk"),
        ({"algorithm": "HS256", "pem": "x"}, "$.pem"),
        ({"algorithm": "HS256", "secret": "x" * 43}, "$.secret"),
        ({"algorithm": "ES256"}, "$.pem"),
        ({"algorithm": "ES256", "jwk": PUBLIC, "pem": "x"}, "$.pem"),
        ({"algorithm": "ES256", "pem": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"}, "$.pem"),
        ({"algorithm": "ES256", "pem": PRIVATE.as_pem(private=True).decode()}, "$.pem"),
        ({"algorithm": "ES256", "jwk": PRIVATE.as_dict(private=True)}, "$.jwk"),
        ({"algorithm": "ES256", "jwk": {}}, "$.jwk"),
        ({"algorithm": "ES256", "jwk": {"kty": "EC", "crv": "P-256", "x": 1, "y": 2}}, "$.jwk"),
        ({"algorithm": "ES256", "jwk": OKPKey.generate_key("Ed25519").as_dict(private=False)}, "$.jwk"),
        ({"algorithm": "EdDSA", "jwk": OKPKey.generate_key("X25519").as_dict(private=False)}, "$.jwk"),
        ({"algorithm": "EdDSA", "jwk": PUBLIC}, "$.jwk"),
        ({"algorithm": "HS256", "kid": ""}, "$.kid"),
        ({"algorithm": "HS256", "kid": "a b"}, "$.kid"),
        ({"algorithm": "HS256", "kid": "x" * 65}, "$.kid"),
        ({"algorithm": "HS256", "name": "x" * 201}, "$.name"),
        ({"algorithm": "HS256", "expires_at_ms": 1}, "$.expires_at_ms"),
    ],
)
def test_a_signing_key_that_cannot_be_is_not_made(rest: Rest, body: object, path: str) -> None:
    before = listed(rest, "/v1/signing-keys", "kid").keys()
    problem = rest.refused("invalid", "POST", "/v1/signing-keys", body)
    assert problem.path == path
    assert str(PRIVATE.as_dict(private=True)["d"]) not in problem.detail
    assert listed(rest, "/v1/signing-keys", "kid").keys() == before


def test_a_kid_is_taken_once(rest: Rest, acme: Tenant) -> None:
    rest.refused("conflict", "POST", "/v1/signing-keys", {"algorithm": "HS256", "kid": acme.kid})
