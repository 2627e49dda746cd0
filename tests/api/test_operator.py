"""Who is the operator, and what its token opens."""

import itertools
import stat

import pytest

from tests.api.conftest import make_tenant
from tests.api.rest import Rest, Server, Tenant, problem_of

# Each stands for one address of its own: wrong tokens count by address.
_addresses = (f"192.0.2.{number}" for number in itertools.count(1))

OPERATIONS = [
    ("GET", "/v1/tenants"),
    ("POST", "/v1/tenants"),
    ("GET", "/v1/tenants/acme"),
    ("PATCH", "/v1/tenants/acme"),
    ("DELETE", "/v1/tenants/acme"),
    ("POST", "/v1/tenants/acme/suspend"),
    ("POST", "/v1/tenants/acme/resume"),
    ("GET", "/v1/tenants/acme/counts"),
    ("POST", "/v1/tenants/acme/rooms/a/messages"),
    ("POST", "/v1/tenants/acme/messages"),
    ("GET", "/v1/tenants/acme/keys"),
    ("POST", "/v1/tenants/acme/signing-keys"),
    ("PUT", "/v1/tenants/acme/room-types/a"),
]


def test_the_token_is_made_on_the_first_start_for_its_owner_alone(server: Server) -> None:
    file = server.data_dir / "operator-token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    prefix, _, secret = file.read_text().strip().partition("_")
    assert (prefix, len(secret)) == ("rco", 43)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_nothing_is_answered_without_the_operators_token(server: Server, acme: Tenant, method: str, path: str) -> None:
    for bearer in (None, "-", acme.token("u"), f"rco_{'0' * 43}", "Bearer"):
        with Rest(server, bearer) as client:
            answer = client.ask(method, path, X_Forwarded_For=next(_addresses))
        problem_of(answer, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
@pytest.mark.parametrize("name", ["acme", "globex", "never-was"])
def test_an_api_key_is_forbidden_there_whatever_the_name(
    server: Server, acme: Tenant, globex: Tenant, method: str, path: str, name: str
) -> None:
    with Rest(server, acme.api_key) as client:
        first = client.refused("forbidden", method, path)
        assert client.refused("forbidden", method, path.replace("acme", name)) == first
    for bearer in (globex.api_key, acme.api_key[:-1], "rck_"):
        with Rest(server, bearer) as client:
            assert client.refused("forbidden", method, path) == first


def test_the_operators_token_opens_no_path_of_a_tenant_itself(operator: Rest) -> None:
    for path in ("/v1/counts", "/v1/keys", "/v1/audit"):
        operator.refused("unauthenticated", "GET", path)
    operator.refused("unauthenticated", "POST", "/v1/commands", {"type": "ping"})


@pytest.mark.provokes("error:rate_limited")
def test_wrong_tokens_are_limited_by_address_and_lock_nobody_out(server: Server, operator: Rest) -> None:
    address, other = next(_addresses), next(_addresses)
    with Rest(server, "x" * 40) as stranger:
        for _ in range(10):
            problem_of(stranger.ask("GET", "/v1/tenants", X_Forwarded_For=address), "unauthenticated")
        answer = stranger.ask("GET", "/v1/tenants/never-was/counts", X_Forwarded_For=address)
        problem = problem_of(answer, "rate_limited")
        assert problem.scope == "address"
        assert isinstance(problem.retry_after_ms, int)
        assert 0 < problem.retry_after_ms <= 6_000
        assert 1 <= int(answer.headers["retry-after"]) <= 6
        problem_of(stranger.ask("GET", "/v1/tenants", X_Forwarded_For=other), "unauthenticated")
    assert operator.ask("GET", "/v1/tenants", X_Forwarded_For=address).status_code == 200


def test_addresses_of_one_household_count_together(server: Server) -> None:
    with Rest(server, "x" * 40) as stranger:
        codes = [
            stranger.ask("GET", "/v1/tenants", X_Forwarded_For=f"2001:db8::{number:x}").status_code
            for number in range(11)
        ]
    assert codes == [401] * 10 + [429]


def test_the_operator_does_for_a_tenant_what_its_own_servers_do(server: Server, operator: Rest) -> None:
    tenant = make_tenant(server, "looked-after")
    below = "/v1/tenants/looked-after"
    answer = operator.ask("POST", f"{below}/rooms/a/messages", {"data": "hello"})
    assert answer.status_code == 201
    with Rest(server, tenant.api_key) as client:
        kept = client.gets("/v1/rooms/a/messages")
        assert [message["data"] for message in kept["messages"]] == ["hello"]
    assert operator.gets(f"{below}/rooms/a/messages") == kept
    assert operator.gets(f"{below}/counts") == {"connections": 0, "users": 0, "rooms": 0}
    batch = operator.ask("POST", f"{below}/messages", {"messages": [{"room": "a", "data": 1}]})
    assert batch.json()["results"][0]["position"].endswith(":2")
    assert operator.ask("POST", f"{below}/tokens", {"user": "ann"}).status_code == 201


def test_the_operators_requests_do_not_count_in_the_tenants_rate(server: Server, operator: Rest) -> None:
    operator.ask("POST", "/v1/tenants", {"name": "slow-asker", "limits": {"api_requests_per_second": 1}})
    codes = {operator.ask("GET", "/v1/tenants/slow-asker/counts").status_code for _ in range(5)}
    assert codes == {200}


def test_a_suspended_tenant_is_open_to_the_operator_alone(server: Server, operator: Rest) -> None:
    tenant = make_tenant(server, "put-aside")
    assert operator.ask("POST", "/v1/tenants/put-aside/suspend").status_code == 200
    assert operator.ask("GET", "/v1/tenants/put-aside/keys").status_code == 200
    with Rest(server, tenant.api_key) as client:
        while client.ask("GET", "/v1/counts").status_code == 200:
            pass  # the node hears of it in a moment
        assert "suspended" in client.refused("forbidden", "GET", "/v1/counts").detail


@pytest.mark.parametrize("name", ["never-was", "ACME", "аcme", "acme%00", "a" * 64, "-acme"])  # noqa: RUF001
def test_a_tenant_that_is_not_there_is_not_found(operator: Rest, name: str) -> None:
    operator.refused("not_found", "GET", f"/v1/tenants/{name}/counts")
    operator.refused("not_found", "PUT", f"/v1/tenants/{name}/room-types/a", {})


@pytest.mark.parametrize("name", ["ACME", "аcme", "acme%00", "a" * 64, "-acme"])  # noqa: RUF001
def test_a_name_that_no_tenant_can_have_is_invalid(operator: Rest, name: str) -> None:
    for method, body in (("GET", None), ("DELETE", None), ("PATCH", {"origins": []})):
        assert operator.refused("invalid", method, f"/v1/tenants/{name}", body).path == "$.tenant"
