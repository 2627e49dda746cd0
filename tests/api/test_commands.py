from typing import Any

import httpx
import pytest

from service.tenants.limits import Limits
from tests.api.conftest import UNHURRIED, make_tenant
from tests.api.rest import Rest, Server, Tenant, expects, problem_of, socket_of

ALLOWED, FOREIGN = "https://app.example", "https://evil.example"
RIGHTS = {"rooms": {"open": ["publish", "history"], "closed": []}, "send": True}


@pytest.fixture(scope="module")
def picky(server: Server) -> Tenant:
    return make_tenant(server, "picky", UNHURRIED, (ALLOWED,))


def run(server: Server, token: str, command: Any, **headers: str) -> httpx.Response:
    with Rest(server, token) as client:
        return client.ask("POST", "/v1/commands", command, **headers)


def test_each_command_is_answered_with_its_reply(server: Server, acme: Tenant) -> None:
    token = acme.token("ann", **RIGHTS)
    published = run(server, token, {"type": "publish", "room": "open", "data": 1, "id": "p"}).json()
    assert published == {
        "type": "published", "id": "p", "room": "open", "position": published["position"], "duplicate": False,
    }  # fmt: skip
    history = run(server, token, {"type": "history", "room": "open", "limit": 1}).json()
    assert history["type"] == "history"
    assert history["position"] == published["position"]
    assert history["messages"][0]["from"] == {"user": "ann", "connection": None}
    assert run(server, token, {"type": "ping", "id": 7}).json()["id"] == 7
    assert run(server, token, {"type": "ping"}).json().keys() == {"type", "time_ms"}
    assert run(server, token, {"type": "send", "user": "bob", "data": 1}).json() == {"type": "sent", "user": "bob"}


def test_what_is_sent_over_http_reaches_a_socket(server: Server, acme: Tenant) -> None:
    with socket_of(server, acme.token("bob")) as bob:
        expects(bob, "welcome")
        run(server, acme.token("ann", **RIGHTS), {"type": "send", "user": "bob", "data": "hi"})
        direct = expects(bob, "direct")
    assert (direct["data"], direct["from"]) == ("hi", {"user": "ann", "connection": None})


@pytest.mark.provokes("error:invalid")
@pytest.mark.parametrize(
    "command",
    [
        {"type": "join", "room": "open"},
        {"type": "leave", "room": "open"},
        {"type": "signal", "room": "open", "data": 1},
        {"type": "set_state", "room": "open", "state": 1},
        {"type": "authenticate", "token": "x"},
    ],
)
def test_commands_that_need_a_connection_are_invalid(server: Server, acme: Tenant, command: Any) -> None:
    assert problem_of(run(server, acme.token("ann", **RIGHTS), command), "invalid").path == "$.type"


@pytest.mark.provokes("error:forbidden")
def test_only_rights_count(server: Server, acme: Tenant) -> None:
    token = acme.token("ann", **{**RIGHTS, "send": False})
    for command in (
        {"type": "publish", "room": "closed", "data": 1},
        {"type": "history", "room": "elsewhere"},
        {"type": "send", "user": "bob", "data": 1},
    ):
        problem_of(run(server, token, command), "forbidden")


def test_members_are_listed_with_the_right_presence(server: Server) -> None:
    tenant = make_tenant(server, "peopled")
    rights = {"info": {"name": "Ann"}, "rooms": {"*": ["*"]}, "join": ["lobby"]}
    reader = tenant.token("bob", rooms={"lobby": ["presence"]})
    with socket_of(server, tenant.token("ann", **rights)) as socket:
        connection = expects(socket, "welcome")["connection"]
        expects(socket, "joined")
        answer = run(server, reader, {"type": "members", "room": "lobby", "id": 7}).json()
        (member,) = answer.pop("members")
        assert member.pop("joined_at_ms") > 1_700_000_000_000
        assert member == {"user": "ann", "connection": connection, "info": {"name": "Ann"}}
        occupancy = {"connections": 1, "users": 1}
        assert answer == {"type": "members", "id": 7, "room": "lobby", "occupancy": occupancy}
    problem_of(run(server, reader, {"type": "members", "room": "other"}), "forbidden")
    cursor = {"type": "members", "room": "lobby", "cursor": "nonsense"}
    assert problem_of(run(server, reader, cursor), "invalid").path == "$.cursor"


@pytest.mark.provokes("error:unknown_command")
def test_a_command_that_is_none_is_unknown(server: Server, acme: Tenant) -> None:
    assert problem_of(run(server, acme.token("ann"), {"type": "jump"}), "unknown_command").path == "$.type"


@pytest.mark.parametrize(
    "body", [b'{"type":"ping"}{"type":"ping"}', b'[{"type":"ping"}', b'{"type":"ping","id":"\xff"}', b""]
)
def test_one_json_value_in_utf_8_is_one_command(server: Server, acme: Tenant, body: bytes) -> None:
    problem_of(run(server, acme.token("ann"), body), "malformed")


def test_a_list_of_commands_is_invalid(server: Server, acme: Tenant) -> None:
    problem_of(run(server, acme.token("ann"), [{"type": "ping"}]), "invalid")


@pytest.mark.provokes("error:unauthenticated")
def test_a_token_that_does_not_verify_is_refused(server: Server, acme: Tenant, globex: Tenant) -> None:
    forged = globex._replace(name="acme").token("ann")
    expired = acme.token("ann", exp=1_700_000_000)
    for token in (forged, expired, "nonsense", acme.token("ann")[:-2]):
        problem_of(run(server, token, {"type": "ping"}), "unauthenticated")


@pytest.mark.provokes("error:rate_limited", "limit:commands_per_second")
def test_one_users_commands_are_held_to_the_rate_of_a_connection(server: Server) -> None:
    tenant = make_tenant(server, "hurried", Limits(commands_per_second=2))
    with Rest(server, tenant.token("ann")) as client:
        answers = [client.ask("POST", "/v1/commands", {"type": "ping"}) for _ in range(20)]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) >= 3
    problem = problem_of(refused[0], "rate_limited")
    assert (problem.limit, problem.scope) == ("commands_per_second", "user")
    assert run(server, tenant.token("bob"), {"type": "ping"}).status_code == 200


# CORS


def test_a_preflight_lets_every_origin_ask_without_credentials(server: Server) -> None:
    for origin in (ALLOWED, FOREIGN, "null", "http://localhost:3000"):
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        answer = httpx.options(f"{server.address}/v1/commands", headers=headers)
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.headers["access-control-allow-methods"] == "POST"
        assert answer.headers["access-control-allow-headers"] == "authorization, content-type"
        assert "access-control-allow-credentials" not in answer.headers
        assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("origin", ["https://a.example\tx", "https://a.example, https://b.example", "*", "x" * 400])
def test_a_preflight_of_what_is_no_origin_allows_nothing(server: Server, origin: str) -> None:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    answer = httpx.options(f"{server.address}/v1/commands", headers=headers)
    assert "access-control-allow-origin" not in answer.headers


def test_a_listed_origin_reads_its_answers_and_its_refusals(server: Server, picky: Tenant) -> None:
    for command, status in (({"type": "ping"}, 200), ({"type": "jump"}, 400), ({"type": "history", "room": "r"}, 403)):
        answer = run(server, picky.token("ann"), command, Origin=ALLOWED)
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == ALLOWED
        assert answer.headers["vary"] == "Origin"


def test_a_foreign_origin_is_refused_before_anything_happens(server: Server, picky: Tenant) -> None:
    token = picky.token("ann", rooms={"*": ["*"]})
    for origin in (FOREIGN, "null", ALLOWED + ".evil.example", ALLOWED.upper()):
        answer = run(server, token, {"type": "publish", "room": "r", "data": 1}, Origin=origin)
        problem_of(answer, "forbidden")
        assert "access-control-allow-origin" not in answer.headers
    with Rest(server, picky.api_key) as rest:
        rest.refused("not_found", "GET", "/v1/rooms/r")


def test_a_caller_that_is_no_browser_needs_no_origin(server: Server, picky: Tenant) -> None:
    answer = run(server, picky.token("ann"), {"type": "ping"})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


def test_a_tenant_without_a_list_answers_every_origin(server: Server, acme: Tenant) -> None:
    answer = run(server, acme.token("ann"), {"type": "ping"}, Origin=FOREIGN)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, FOREIGN)


def test_any_page_may_read_that_its_token_is_bad(server: Server) -> None:
    answer = run(server, "bad", {"type": "ping"}, Origin=FOREIGN)
    problem_of(answer, "unauthenticated")
    assert answer.headers["access-control-allow-origin"] == FOREIGN


def test_no_other_path_answers_other_origins(rest: Rest) -> None:
    for method in ("GET", "OPTIONS"):
        answer = rest.ask(method, "/v1/rooms", Origin=ALLOWED, Access_Control_Request_Method="GET")
        assert not [name for name in answer.headers if name.startswith("access-control")]
