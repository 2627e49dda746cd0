"""Room types over REST."""

import pytest

from service.tenants.limits import Limits
from tests.api.conftest import make_tenant
from tests.api.rest import Rest, Server, Tenant, within


@pytest.fixture(scope="module")
def typed(server: Server) -> Tenant:
    return make_tenant(server, "typed", Limits(max_history_messages=500, api_requests_per_second=None))


@pytest.fixture
def client(server: Server, typed: Tenant) -> Rest:
    return Rest(server, typed.api_key)


def test_a_room_type_is_made_replaced_read_and_deleted(client: Rest) -> None:
    with client:
        made = client.ask("PUT", "/v1/room-types/chat:*", {"history_messages": 10, "slow_consumer": "drop_oldest"})
        assert made.status_code == 201, made.text
        assert made.json() == {
            "name": "chat:*", "pattern": "chat:*", "history_messages": 10, "history_seconds": None, "presence": True,
            "presence_grace_seconds": 3.0, "slow_consumer": "drop_oldest", "max_members": None,
            "messages_per_second": None, "max_message_bytes": None, "acknowledge": "stored",
            "messages": {}, "signals": {}, "state": None, "additional": "allow",
        }  # fmt: skip
        assert client.gets("/v1/room-types/chat:*") == made.json()
        other = {"pattern": "talk:*", "presence": False, "acknowledge": "replicated"}
        replaced = client.ask("PUT", "/v1/room-types/chat:*", other)
        assert replaced.status_code == 200
        assert replaced.json() == made.json() | other | {"history_messages": None, "slow_consumer": "disconnect"}
        assert [item["name"] for item in client.gets("/v1/room-types")["items"]] == ["chat:*"]
        assert client.ask("DELETE", "/v1/room-types/chat:*").status_code == 204
        client.refused("not_found", "GET", "/v1/room-types/chat:*")
        client.refused("not_found", "DELETE", "/v1/room-types/chat:*")
        assert client.gets("/v1/room-types") == {"items": [], "next_cursor": None}


def test_a_room_has_the_type_of_its_exact_name_else_of_the_longest_prefix(client: Rest) -> None:
    def type_of(room: str) -> str:
        return str(client.gets(f"/v1/rooms/{room}")["room_type"])

    with client:
        for room in ("game:1", "game:vip", "game:vip:1", "else"):
            client.publishes(room)
        for name, body in (("games", {"pattern": "game:*"}), ("vips", {"pattern": "game:vip*"}), ("game:vip", {})):
            assert client.ask("PUT", f"/v1/room-types/{name}", body).status_code == 201
        within(
            2,
            lambda: [type_of(r) for r in ("game:1", "game:vip", "game:vip:1", "else")],
            ["games", "game:vip", "vips", "default"],
        )
        assert client.ask("PUT", "/v1/room-types/default", {"history_messages": 0}).json()["pattern"] == "*"
        within(2, lambda: client.gets("/v1/rooms/else")["position"], None)
        for name in ("games", "vips", "game:vip", "default"):
            assert client.ask("DELETE", f"/v1/room-types/{name}").status_code == 204
        within(2, lambda: type_of("game:vip"), "default")


@pytest.mark.provokes("limit:max_history_messages", "limit:max_history_seconds")
@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"history_messages": 501}, "$.history_messages"),
        ({"history_seconds": 86_401}, "$.history_seconds"),
        ({"history_messages": -1}, "$.history_messages"),
        ({"history_messages": 1.5}, "$.history_messages"),
        ({"pattern": "a*b"}, "$.pattern"),
        ({"pattern": "two words"}, "$.pattern"),
        ({"pattern": "x" * 201}, "$.pattern"),
        ({"presence_grace_seconds": 301}, "$.presence_grace_seconds"),
        ({"slow_consumer": "wait"}, "$.slow_consumer"),
        ({"acknowledge": "maybe"}, "$.acknowledge"),
        ({"max_members": "none"}, "$.max_members"),
        ({"messages_per_second": 0}, "$.messages_per_second"),
        ({"schema": {"type": "object"}}, "$.schema"),
        ({"schemas": {}}, "$.schemas"),
        ({"name": "other"}, "$.name"),
        ([], "$"),
    ],
)
def test_a_room_type_that_cannot_be_changes_nothing(client: Rest, body: object, path: str) -> None:
    with client:
        before = client.gets("/v1/room-types")
        assert client.refused("invalid", "PUT", "/v1/room-types/wrong", body).path == path
        assert client.gets("/v1/room-types") == before


@pytest.mark.parametrize("name", ["a b", "x" * 65, "caf%C3%A9", "a%0A"])
def test_a_name_that_cannot_be_is_invalid(client: Rest, name: str) -> None:
    with client:
        for method, body in (("GET", None), ("PUT", {}), ("DELETE", None)):
            assert client.refused("invalid", method, f"/v1/room-types/{name}", body).path == "$.name"


def test_a_pattern_belongs_to_one_type(client: Rest) -> None:
    with client:
        client.ask("PUT", "/v1/room-types/first", {"pattern": "same:*"})
        client.refused("conflict", "PUT", "/v1/room-types/second", {"pattern": "same:*"})
        assert client.ask("DELETE", "/v1/room-types/first").status_code == 204


@pytest.mark.provokes("error:too_many", "limit:max_room_types")
def test_room_types_are_counted(server: Server) -> None:
    tenant = make_tenant(server, "few-types", Limits(max_room_types=2))
    with Rest(server, tenant.api_key) as client:
        for name in ("a", "b", "a"):
            assert client.ask("PUT", f"/v1/room-types/{name}", {}).status_code in (200, 201)
        problem = client.refused("too_many", "PUT", "/v1/room-types/c", {})
        assert (problem.limit, problem.scope) == ("max_room_types", "tenant")


def test_room_types_are_listed_page_by_page(client: Rest, server: Server, globex: Tenant) -> None:
    with client:
        names = ["page-a", "page-b", "page-c"]
        for name in names:
            client.ask("PUT", f"/v1/room-types/{name}", {})
        first = client.gets("/v1/room-types?limit=2")
        second = client.gets(f"/v1/room-types?limit=2&cursor={first['next_cursor']}")
        assert [item["name"] for item in first["items"] + second["items"]] == names
        with Rest(server, globex.api_key) as stranger:
            path = f"/v1/room-types?cursor={first['next_cursor']}"
            assert stranger.refused("invalid", "GET", path).path == "$.cursor"
        for name in names:
            client.ask("DELETE", f"/v1/room-types/{name}")
