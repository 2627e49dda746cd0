import json
from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.api.conftest import make_tenant
from tests.api.rest import Rest, Server, Tenant, expects, socket_of, within


def closing_of(socket: ClientConnection) -> tuple[int, bool]:
    """The close code of a socket that the server ends, and whether the client may come back."""
    closing = expects(socket, "closing")
    with pytest.raises(ConnectionClosed) as closed:
        socket.recv(timeout=5)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == closing["code"]
    return closing["code"], closing["reconnect"]


def test_a_connection_is_listed_and_looked_at(server: Server) -> None:
    tenant = make_tenant(server, "looked-at")
    with Rest(server, tenant.api_key) as rest, socket_of(server, tenant.token("ann", join=["b", "a"])) as socket:
        welcome = expects(socket, "welcome")
        expects(socket, "joined")
        expects(socket, "joined")
        path = f"/v1/connections/{welcome['connection']}"
        within(2, lambda: rest.gets(path)["rooms"], ["a", "b"])
        found = rest.gets(path)
        assert (found["user"], found["node"], found["address"]) == ("ann", welcome["node"], "127.0.0.1")
        assert found["connected_at_ms"] > 1_700_000_000_000
        assert rest.gets("/v1/connections") == {"items": [found], "next_cursor": None}
        assert rest.gets("/v1/users/ann") == {
            "user": "ann",
            "connections": [welcome["connection"]],
            "rooms": ["a", "b"],
        }


def test_connections_are_paged_by_cursor_each_once(server: Server) -> None:
    tenant = make_tenant(server, "crowded")
    with ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket_of(server, tenant.token(f"u{n}"))) for n in range(5)]
        ids = sorted(expects(socket, "welcome")["connection"] for socket in sockets)
        with Rest(server, tenant.api_key) as rest:
            within(2, lambda: rest.gets("/v1/counts")["connections"], 5)
            first = rest.gets("/v1/connections?limit=3")
            rest_of_them = rest.gets(f"/v1/connections?limit=3&cursor={first['next_cursor']}")
        assert rest_of_them["next_cursor"] is None
        assert [item["connection"] for item in first["items"] + rest_of_them["items"]] == ids


@pytest.mark.provokes("close:4409")
def test_one_connection_is_disconnected_and_the_users_others_stay(server: Server, rest: Rest, acme: Tenant) -> None:
    with socket_of(server, acme.token("two")) as first, socket_of(server, acme.token("two")) as second:
        gone = expects(first, "welcome")["connection"]
        expects(second, "welcome")
        answer = rest.ask("DELETE", f"/v1/connections/{gone}")
        assert (answer.status_code, answer.content) == (202, b"")
        assert closing_of(first) == (4409, False)
        second.send(json.dumps({"type": "ping", "id": 1}))
        expects(second, "pong")
        within(2, lambda: rest.ask("DELETE", f"/v1/connections/{gone}").status_code, 404)


@pytest.mark.parametrize(("query", "reconnect"), [("", False), ("?reconnect=false", False), ("?reconnect=true", True)])
def test_a_user_is_disconnected_everywhere(
    server: Server, rest: Rest, acme: Tenant, query: str, reconnect: bool
) -> None:
    with socket_of(server, acme.token("gone")) as first, socket_of(server, acme.token("gone")) as second:
        expects(first, "welcome")
        expects(second, "welcome")
        assert rest.ask("DELETE", f"/v1/users/gone/connections{query}").status_code == 202
        assert closing_of(first) == closing_of(second) == (4409, reconnect)


@pytest.mark.provokes("error:not_found")
def test_a_connection_that_is_not_there_is_not_found(rest: Rest) -> None:
    for method in ("GET", "DELETE"):
        assert rest.refused("not_found", method, "/v1/connections/0123456789abcdef").detail == "no such connection"


def test_a_user_who_is_not_there_is_no_error(rest: Rest) -> None:
    assert rest.gets("/v1/users/nobody") == {"user": "nobody", "connections": [], "rooms": []}
    assert rest.ask("DELETE", "/v1/users/nobody/connections").status_code == 202
    assert rest.ask("POST", "/v1/users/nobody/messages", {"data": 1}).status_code == 202


def test_what_is_sent_to_a_user_reaches_all_of_its_connections_and_nobody_else(
    server: Server, rest: Rest, acme: Tenant
) -> None:
    with (
        socket_of(server, acme.token("dora")) as first,
        socket_of(server, acme.token("dora")) as second,
        socket_of(server, acme.token("eve")) as other,
    ):
        for socket in (first, second, other):
            expects(socket, "welcome")
        answer = rest.ask("POST", "/v1/users/dora/messages", {"data": {"n": 1}, "name": "note"})
        assert (answer.status_code, answer.content) == (202, b"")
        for socket in (first, second):
            assert expects(socket, "direct") == {"type": "direct", "name": "note", "data": {"n": 1}, "from": None}
        rest.ask("POST", "/v1/users/eve/messages", {"data": "yours"})
        assert expects(other, "direct")["data"] == "yours"


def test_another_tenants_connections_are_out_of_reach(server: Server, rest: Rest) -> None:
    tenant = make_tenant(server, "unreachable")
    with socket_of(server, tenant.token("ann")) as socket:
        connection = expects(socket, "welcome")["connection"]
        for method in ("GET", "DELETE"):
            rest.refused("not_found", method, f"/v1/connections/{connection}")
        rest.ask("DELETE", "/v1/users/ann/connections")
        rest.ask("POST", "/v1/users/ann/messages", {"data": 1})
        socket.send(json.dumps({"type": "ping", "id": 1}))
        expects(socket, "pong")
