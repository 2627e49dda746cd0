import pytest

from service.tenants.audit import OPERATOR
from service.tenants.limits import Limits
from service.tenants.storage import Storage
from tests.api.conftest import make_tenant, with_storage
from tests.api.rest import Rest, Server, Tenant, problem_of

ROOM = "/v1/rooms/guards"
OPERATIONS = [
    ("read", "GET", "/v1/counts"),
    ("read", "GET", "/v1/rooms"),
    ("read", "GET", ROOM),
    ("read", "GET", f"{ROOM}/messages"),
    ("publish", "POST", f"{ROOM}/messages"),
    ("manage", "DELETE", f"{ROOM}/messages"),
    ("publish", "POST", "/v1/messages"),
    ("read", "GET", "/v1/users/u"),
    ("publish", "POST", "/v1/users/u/messages"),
    ("disconnect", "DELETE", "/v1/users/u/connections"),
    ("read", "GET", "/v1/connections"),
    ("read", "GET", "/v1/connections/0123456789abcdef"),
    ("disconnect", "DELETE", "/v1/connections/0123456789abcdef"),
    ("manage", "POST", "/v1/tokens"),
    ("disconnect", "POST", "/v1/revocations"),
    ("manage", "GET", "/v1/room-types"),
    ("manage", "GET", "/v1/room-types/a"),
    ("manage", "PUT", "/v1/room-types/a"),
    ("manage", "DELETE", "/v1/room-types/a"),
    ("manage", "GET", "/v1/keys"),
    ("manage", "POST", "/v1/keys"),
    ("manage", "DELETE", "/v1/keys/000000000000"),
    ("manage", "GET", "/v1/signing-keys"),
    ("manage", "POST", "/v1/signing-keys"),
    ("manage", "DELETE", "/v1/signing-keys/a"),
    ("read", "GET", "/v1/audit"),
    ("read", "GET", "/v1/usage"),
]


@pytest.mark.provokes("error:unauthenticated")
@pytest.mark.parametrize(("_", "method", "path"), OPERATIONS)
def test_nothing_is_answered_without_a_key(server: Server, acme: Tenant, _: str, method: str, path: str) -> None:
    body = b"{" if method in ("POST", "PUT") else None
    for bearer in (None, "-", acme.api_key[:-1], acme.api_key + "0", acme.token("u"), "rck_nobody_000000000000_0"):
        with Rest(server, bearer) as client:
            answer = client.ask(method, path, body)
        problem_of(answer, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.provokes("error:forbidden")
@pytest.mark.parametrize(("scope", "method", "path"), OPERATIONS)
def test_a_key_opens_what_its_scope_covers_and_nothing_else(
    server: Server, acme: Tenant, scope: str, method: str, path: str
) -> None:
    body = b"{" if method in ("POST", "PUT") else None
    for held, key in acme.scoped_keys.items():
        with Rest(server, key) as client:
            answer = client.ask(method, path, body)
        if held == scope:
            assert answer.status_code not in (401, 403), answer.text
        else:
            assert scope in problem_of(answer, "forbidden").detail


def test_a_key_is_for_servers_and_a_token_for_users(server: Server, acme: Tenant) -> None:
    with Rest(server, acme.api_key) as client:
        client.refused("unauthenticated", "POST", "/v1/commands", {"type": "ping"})
    with Rest(server, acme.token("u")) as client:
        client.refused("unauthenticated", "GET", "/v1/counts")
        assert client.ask("POST", "/v1/commands", {"type": "ping"}).status_code == 200


def test_bearer_is_the_only_scheme_in_any_case_of_letters(server: Server, acme: Tenant) -> None:
    with Rest(server, None) as client:
        assert client.ask("GET", "/v1/counts", Authorization=f"bearer {acme.api_key}").status_code == 200
        for credentials in (acme.api_key, f"Basic {acme.api_key}", f"Bearer{acme.api_key}", f"Bearer {acme.api_key} x"):
            problem_of(client.ask("GET", "/v1/counts", Authorization=credentials), "unauthenticated")


def test_a_suspended_tenant_is_forbidden_to_servers_and_users(server: Server) -> None:
    tenant = make_tenant(server, "suspended")

    async def suspend(storage: Storage) -> None:
        await storage.tenants.set_state(OPERATOR, tenant.id, "suspended")

    with_storage(server, suspend)
    with Rest(server, tenant.api_key) as client:
        assert "suspended" in client.refused("forbidden", "GET", "/v1/counts").detail
    with Rest(server, tenant.token("u")) as client:
        client.refused("forbidden", "POST", "/v1/commands", {"type": "ping"})


@pytest.mark.provokes("error:rate_limited", "limit:api_requests_per_second")
def test_requests_above_the_tenants_rate_are_told_when_to_come_back(server: Server) -> None:
    tenant = make_tenant(server, "hasty", Limits(api_requests_per_second=1))
    with Rest(server, tenant.api_key) as client:
        answers = [client.ask("GET", "/v1/counts") for _ in range(5)]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) >= 2
    for answer in refused:
        problem = problem_of(answer, "rate_limited")
        assert (problem.limit, problem.scope) == ("api_requests_per_second", "tenant")
        assert isinstance(problem.retry_after_ms, int)
        assert 0 < problem.retry_after_ms <= 1000
        assert answer.headers["retry-after"] == "1"


def test_refused_scopes_count_in_the_rate_too(server: Server) -> None:
    tenant = make_tenant(server, "scoped-hasty", Limits(api_requests_per_second=1))

    with Rest(server, tenant.scoped_keys["read"]) as client:
        statuses = {client.ask("POST", "/v1/tokens", {"user": "u"}).status_code for _ in range(5)}
    assert statuses == {403, 429}


def test_one_tenants_haste_leaves_the_others_alone(server: Server, rest: Rest) -> None:
    tenant = make_tenant(server, "greedy", Limits(api_requests_per_second=1))
    with Rest(server, tenant.api_key) as client:
        while client.ask("GET", "/v1/counts").status_code == 200:
            pass
    rest.gets("/v1/counts")
