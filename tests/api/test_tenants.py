"""Tenants over REST, as the operator manages them."""

import threading
from typing import Any

import httpx
import pytest

from service.tenants.limits import Limits
from tests.api.rest import Rest, Server, expects, problem_of, socket_of, within


def make(operator: Rest, name: str, **fields: object) -> Any:
    answer = operator.ask("POST", "/v1/tenants", {"name": name, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_new_tenant_comes_with_two_keys_that_work(server: Server, operator: Rest) -> None:
    made = make(operator, "newcomer", limits={"max_rooms": 5, "max_connections": None}, origins=["https://a.example"])
    tenant = made["tenant"]
    assert tenant.keys() == {"tenant", "state", "limits", "origins", "version", "created_at_ms"}
    assert (tenant["tenant"], tenant["state"], tenant["origins"]) == ("newcomer", "active", ["https://a.example"])
    assert (tenant["limits"]["max_rooms"], tenant["limits"]["max_connections"]) == (5, None)
    assert tenant["limits"].keys() == set(Limits.__struct_fields__)
    assert tenant["limits"]["max_frame_bytes"] == tenant["limits"]["max_message_bytes"] + 8_192
    assert made["signing_key"].keys() == {"kid", "algorithm", "secret"}
    with Rest(server, made["api_key"]) as client:
        assert client.gets("/v1/counts")["connections"] == 0
        token = client.ask("POST", "/v1/tokens", {"user": "ann", "rooms": {"*": ["*"]}}).json()["token"]
    with socket_of(server, token) as socket:
        assert expects(socket, "welcome")["tenant"] == "newcomer"
    assert operator.gets("/v1/tenants/newcomer") == tenant


def test_secrets_are_shown_once(operator: Rest) -> None:
    made = make(operator, "discreet")
    shown = str([operator.gets(f"/v1/tenants/discreet{path}") for path in ("", "/keys", "/signing-keys", "/audit")])
    assert made["signing_key"]["secret"] not in shown
    assert made["api_key"].rpartition("_")[2] not in shown


@pytest.mark.provokes("error:conflict")
def test_a_name_is_taken_once(operator: Rest) -> None:
    make(operator, "unique")
    operator.refused("conflict", "POST", "/v1/tenants", {"name": "unique"})


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "$.name"),
        ({"name": ""}, "$.name"),
        ({"name": "a" * 64}, "$.name"),
        ({"name": "Acme"}, "$.name"),
        ({"name": "аcme"}, "$.name"),  # noqa: RUF001 - a Cyrillic letter
        ({"name": "acme\n"}, "$.name"),
        ({"name": "a b"}, "$.name"),
        ({"name": 1}, "$.name"),
        ({"name": "bad", "limits": {"max_romms": 1}}, "$.limits.max_romms"),
        ({"name": "bad", "limits": {"max_rooms": -1}}, "$.limits.max_rooms"),
        ({"name": "bad", "limits": {"max_rooms": 2**53}}, "$.limits.max_rooms"),
        ({"name": "bad", "limits": {"publishes_per_second": 0}}, "$.limits.publishes_per_second"),
        ({"name": "bad", "limits": {"max_rooms": "5"}}, "$.limits.max_rooms"),
        ({"name": "bad", "limits": {"max_rooms": 5.5}}, "$.limits.max_rooms"),
        ({"name": "bad", "limits": {"max_rooms": True}}, "$.limits.max_rooms"),
        ({"name": "bad", "limits": {"max_rooms": {"a": [1]}}}, "$.limits.max_rooms"),
        ({"name": "bad", "limits": []}, "$.limits"),
        ({"name": "bad", "origins": ["acme.example"]}, "$.origins"),
        ({"name": "bad", "origins": ["https://acme.example/"]}, "$.origins"),
        ({"name": "bad", "origins": "https://acme.example"}, "$.origins"),
        ({"name": "bad", "colour": "red"}, "$.colour"),
    ],
)
def test_a_tenant_that_cannot_be_is_not_made(operator: Rest, body: object, path: str) -> None:
    assert operator.refused("invalid", "POST", "/v1/tenants", body).path == path
    assert operator.gets("/v1/tenants?prefix=bad") == {"items": [], "next_cursor": None}


def test_tenants_are_listed_page_by_page_with_a_prefix(operator: Rest, rest: Rest) -> None:
    names = [f"leaf-{letter}" for letter in "abcde"]
    for name in reversed(names):
        make(operator, name)
    found: list[str] = []
    cursor = ""
    while True:
        page = operator.gets(f"/v1/tenants?prefix=leaf-&limit=2{cursor}")
        found += [item["tenant"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == names
    page = operator.gets("/v1/tenants?prefix=leaf-&limit=2")
    assert operator.refused("invalid", "GET", f"/v1/tenants?limit=2&cursor={page['next_cursor']}").path == "$.cursor"
    assert operator.refused("invalid", "GET", "/v1/tenants?prefix=A").path == "$.prefix"
    assert rest.refused("invalid", "GET", f"/v1/rooms?cursor={page['next_cursor']}").path == "$.cursor"


def test_limits_are_merged_and_origins_replaced(operator: Rest) -> None:
    make(operator, "changing", limits={"max_rooms": 5}, origins=["https://a.example"])
    changed = operator.ask(
        "PATCH", "/v1/tenants/changing", {"limits": {"max_connections": 7, "max_history_bytes": None}}
    )
    limits = changed.json()["limits"]
    assert (limits["max_rooms"], limits["max_connections"], limits["max_history_bytes"]) == (5, 7, None)
    assert changed.json()["origins"] == ["https://a.example"]
    changed = operator.ask("PATCH", "/v1/tenants/changing", {"origins": []})
    assert changed.json()["origins"] == []
    assert operator.gets("/v1/tenants/changing") == changed.json()


def test_a_change_that_changes_nothing_raises_no_version(operator: Rest) -> None:
    version = make(operator, "steady", limits={"max_rooms": 5})["tenant"]["version"]
    bodies: list[dict[str, object]] = [{"limits": {"max_rooms": 5}}, {"limits": {}}, {}, {"origins": []}]
    for body in bodies:
        assert operator.ask("PATCH", "/v1/tenants/steady", body).json()["version"] == version
    assert operator.ask("POST", "/v1/tenants/steady/resume").json()["version"] == version


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"limits": {"max_romms": 1}}, "$.limits.max_romms"),
        ({"limits": {"max_rooms": -1}}, "$.limits.max_rooms"),
        ({"limits": {"max_rooms": 7, "max_message_bytes": 0}}, "$.limits.max_message_bytes"),
        ({"origins": ["x"]}, "$.origins"),
        ({"name": "renamed"}, "$.name"),
        ({"state": "suspended"}, "$.state"),
        ({"version": 0}, "$.version"),
        ({"version": "1"}, "$.version"),
    ],
)
def test_a_bad_change_changes_nothing(operator: Rest, body: object, path: str) -> None:
    if operator.ask("GET", "/v1/tenants/unmoved").status_code == 404:
        make(operator, "unmoved")
    before = operator.gets("/v1/tenants/unmoved")
    assert operator.refused("invalid", "PATCH", "/v1/tenants/unmoved", body).path == path
    assert operator.gets("/v1/tenants/unmoved") == before


def test_of_two_writers_with_one_version_one_is_told_of_the_other(operator: Rest, server: Server) -> None:
    version = make(operator, "contended")["tenant"]["version"]
    answers: list[httpx.Response] = []

    def write(limit: str) -> None:
        body = {"version": version, "limits": {limit: 3}}
        answers.append(operator.ask("PATCH", "/v1/tenants/contended", body))

    writers = [threading.Thread(target=write, args=(limit,)) for limit in ("max_rooms", "max_connections")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    (refused,) = (answer for answer in answers if answer.status_code == 409)
    problem_of(refused, "conflict")
    now = operator.gets("/v1/tenants/contended")
    assert [now["limits"]["max_rooms"], now["limits"]["max_connections"]].count(3) == 1
    assert now["version"] == version + 1
    for path in ("suspend", "resume"):
        operator.refused("conflict", "POST", f"/v1/tenants/contended/{path}", {"version": version})


def test_new_limits_reach_open_sockets_and_servers(operator: Rest, server: Server) -> None:
    made = make(operator, "shrinking")
    with Rest(server, made["api_key"]) as client:
        client.publishes("a", "x" * 100)
        operator.ask("PATCH", "/v1/tenants/shrinking", {"limits": {"max_message_bytes": 10}})
        within(2, lambda: client.ask("POST", "/v1/rooms/a/messages", {"data": "x" * 100}).status_code, 413)


@pytest.mark.provokes("close:4403")
def test_suspending_closes_sockets_and_resuming_lets_them_in(operator: Rest, server: Server) -> None:
    made = make(operator, "paused")
    with Rest(server, made["api_key"]) as client:
        token = client.ask("POST", "/v1/tokens", {"user": "ann"}).json()["token"]
        with socket_of(server, token) as socket:
            expects(socket, "welcome")
            suspended = operator.ask("POST", "/v1/tenants/paused/suspend", {"version": made["tenant"]["version"]})
            assert suspended.json()["state"] == "suspended"
            assert expects(socket, "closing")["code"] == 4403
        within(2, lambda: client.ask("GET", "/v1/counts").status_code, 403)
        assert operator.ask("POST", "/v1/tenants/paused/resume").json()["state"] == "active"
        within(2, lambda: client.ask("GET", "/v1/counts").status_code, 200)
    with socket_of(server, token) as socket:
        expects(socket, "welcome")


def test_a_deleted_tenant_says_how_far_it_got_and_its_name_begins_anew(operator: Rest, server: Server) -> None:
    made = make(operator, "fleeting", limits={"max_rooms": 5})
    with Rest(server, made["api_key"]) as client:
        client.publishes("a")
        answer = operator.ask("DELETE", "/v1/tenants/fleeting")
        assert answer.status_code == 202
        progress = answer.json()
        assert progress.keys() == {"tenant", "state", "asked_at_ms", "removed_keys"}
        assert (progress["tenant"], progress["state"]) == ("fleeting", "deleting")
        within(2, lambda: client.ask("GET", "/v1/counts").status_code, 401)
    assert "fleeting" not in str(operator.gets("/v1/tenants?prefix=fleeting"))
    operator.refused("not_found", "GET", "/v1/tenants/fleeting/counts")
    operator.refused("not_found", "DELETE", "/v1/tenants/fleeting")
    again = make(operator, "fleeting")
    assert again["tenant"]["limits"]["max_rooms"] == 100_000
    assert operator.gets("/v1/tenants/fleeting")["state"] == "active"
    assert operator.ask("GET", "/v1/tenants/fleeting/rooms/a").status_code == 404
    with Rest(server, again["api_key"]) as client:
        within(2, lambda: client.ask("GET", "/v1/rooms/a/messages").status_code, 200)
        assert client.gets("/v1/rooms/a/messages")["messages"] == []


def test_a_deletion_ends_and_then_nothing_is_there(operator: Rest) -> None:
    make(operator, "vanishing")
    operator.ask("DELETE", "/v1/tenants/vanishing")
    within(20, lambda: operator.ask("GET", "/v1/tenants/vanishing").status_code, 404)
