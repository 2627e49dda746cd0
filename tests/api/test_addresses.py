from urllib.parse import unquote

import pytest

from tests.api.rest import Rest, problem_of


@pytest.mark.provokes("error:invalid")
@pytest.mark.parametrize("name", ["a%00b", "chat%0A", "two%20words", "%2e", "%2e%2e", "x" * 201, "caf%C3%A9", "a%25b"])
def test_a_name_that_is_no_rooms_is_invalid(rest: Rest, name: str) -> None:
    for method, path in (("GET", ""), ("GET", "/messages"), ("POST", "/messages"), ("DELETE", "/messages")):
        problem = rest.refused("invalid", method, f"/v1/rooms/{name}{path}", {"data": 1} if method == "POST" else None)
        assert problem.path == "$.room"
        assert name not in problem.detail


@pytest.mark.parametrize("name", ["a%00b", "%0A", "%2e%2e", "x" * 129, "%C2%85"])
def test_a_name_that_is_no_users_is_invalid(rest: Rest, name: str) -> None:
    assert rest.refused("invalid", "GET", f"/v1/users/{name}").path == "$.user"
    assert rest.refused("invalid", "POST", f"/v1/users/{name}/messages", {"data": 1}).path == "$.user"
    assert rest.refused("invalid", "DELETE", f"/v1/users/{name}/connections").path == "$.user"


def test_a_connection_that_none_can_have_is_invalid(rest: Rest) -> None:
    assert rest.refused("invalid", "GET", "/v1/connections/short").path == "$.connection"
    assert rest.refused("invalid", "DELETE", "/v1/connections/0123456789abcde%20").path == "$.connection"


@pytest.mark.parametrize("name", ["j%C3%BCrgen", "alice@example.com", "a%20b", "a%2525", "%E6%97%A5%E6%9C%AC", "a+b"])
def test_names_are_decoded_once_from_utf_8(rest: Rest, name: str) -> None:
    assert rest.gets(f"/v1/users/{name}")["user"] == unquote(name)


def test_every_character_of_a_room_travels(rest: Rest) -> None:
    room = "aZ09_-=@,.;:"
    rest.publishes(room)
    assert rest.gets(f"/v1/rooms/{room}")["room"] == room
    assert rest.gets("/v1/rooms/aZ09%5F%2D%3D%40%2C%2E%3B%3A")["room"] == room


@pytest.mark.parametrize(
    "path",
    [
        "/v1/rooms/a%2Fmessages",
        "/v1/rooms/a%2fb",
        "/v1/rooms/",
        "/v1/rooms//messages",
        "/v1/counts/",
        "//v1/counts",
        "/v1/nothing",
        "/v1/rooms/a/members/b/c",
        "/v1/statistics",
        "/v1/tenant",
        "/",
    ],
)
@pytest.mark.provokes("error:not_found")
def test_what_is_no_path_of_ours_is_not_found(rest: Rest, path: str) -> None:
    rest.refused("not_found", "GET", path)


def test_a_hidden_slash_never_leads_to_another_operation(rest: Rest) -> None:
    rest.publishes("hidden")
    rest.refused("not_found", "DELETE", "/v1/rooms/hidden%2Fmessages")
    rest.refused("not_found", "DELETE", "/v1/users/hidden%2fconnections")
    rest.refused("not_found", "POST", "/v1/rooms/hidden%2Fmessages", {"data": 1})
    assert len(rest.gets("/v1/rooms/hidden/messages")["messages"]) == 1


@pytest.mark.parametrize("path", ["/v1/users/%FF", "/v1/users/%ED%A0%80", "/v1/rooms?prefix=%FF", "/v1/users/%C0%AF"])
def test_bytes_that_are_no_utf_8_are_invalid(rest: Rest, path: str) -> None:
    rest.refused("invalid", "GET", path)


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/v1/rooms?curser=abc", "$"),
        ("/v1/rooms?room=a", "$"),
        ("/v1/rooms?manager=a", "$"),
        ("/v1/counts?x", "$"),
        ("/v1/rooms?limit=0", "$.limit"),
        ("/v1/rooms?limit=1001", "$.limit"),
        ("/v1/rooms?limit=ten", "$.limit"),
        ("/v1/rooms?limit=", "$.limit"),
        ("/v1/rooms?limit=-1", "$.limit"),
        ("/v1/rooms?limit=1.5", "$.limit"),
        ("/v1/rooms?limit=1&limit=2", "$.limit"),
        ("/v1/rooms?cursor=abc", "$.cursor"),
        ("/v1/rooms?cursor=", "$.cursor"),
        ("/v1/rooms?prefix=a%20b", "$.prefix"),
        ("/v1/connections?cursor=%00", "$.cursor"),
        ("/v1/rooms/a/messages?since=1", "$.since"),
        ("/v1/rooms/a/messages?since=e:01", "$.since"),
        ("/v1/rooms/a/messages?before=e:1%0A", "$.before"),
    ],
)
def test_a_query_is_read_strictly(rest: Rest, path: str, where: str) -> None:
    assert rest.refused("invalid", "GET", path).path == where


def test_reconnect_is_true_or_false(rest: Rest) -> None:
    path = "/v1/users/nobody/connections?reconnect="
    assert rest.refused("invalid", "DELETE", path + "maybe").path == "$.reconnect"
    assert rest.ask("DELETE", path + "true").status_code == 202


@pytest.mark.provokes("error:not_allowed")
@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/v1/rooms", "GET, HEAD, OPTIONS"),
        ("DELETE", "/v1/counts", "GET, HEAD, OPTIONS"),
        ("PUT", "/v1/rooms/a/messages", "DELETE, GET, HEAD, OPTIONS, POST"),
        ("GET", "/v1/commands", "OPTIONS, POST"),
        ("GET", "/v1/tokens", "OPTIONS, POST"),
        ("POST", "/health/live", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_method_that_a_path_lacks_is_not_allowed_and_the_others_are_named(
    rest: Rest, method: str, path: str, allowed: str
) -> None:
    answer = rest.ask(method, path)
    problem_of(answer, "not_allowed")
    assert answer.headers["allow"] == allowed


def test_head_is_get_without_the_body(rest: Rest) -> None:
    answer = rest.ask("HEAD", "/v1/counts")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) == len(rest.ask("GET", "/v1/counts").content)


def test_options_names_the_methods_to_anybody(rest: Rest) -> None:
    answer = rest.ask("OPTIONS", "/v1/rooms?limit=none")
    assert (answer.status_code, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert "access-control-allow-origin" not in answer.headers
