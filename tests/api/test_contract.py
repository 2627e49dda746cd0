"""The contract over REST: saved, compared, refused where it breaks clients, and in force on every edge."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from service.tenants.limits import Limits
from tests.api.conftest import make_tenant
from tests.api.rest import Rest, Server, Tenant, expects, problem_of, socket_of, within

TEXT: dict[str, Any] = {
    "type": "object",
    "properties": {"text": {"type": "string", "maxLength": 100}, "colour": {"enum": ["red", "blue"]}},
    "required": ["text"],
    "additionalProperties": False,
}
TYPING = {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"]}
STATE = {"type": "object", "properties": {"mood": {"type": "string"}}}
CHAT: dict[str, Any] = {
    "pattern": "chat:*",
    "messages": {"said": TEXT},
    "signals": {"typing": TYPING},
    "state": STATE,
}
_numbers = count()
UNLIMITED = Limits(api_requests_per_second=None, publishes_per_second=None, commands_per_second=None)


@pytest.fixture
def tenant(server: Server) -> Tenant:
    return make_tenant(server, f"contract-{next(_numbers)}", UNLIMITED)


@pytest.fixture
def client(server: Server, tenant: Tenant) -> Iterator[Rest]:
    with Rest(server, tenant.api_key) as rest:
        yield rest


def puts(client: Rest, chat: dict[str, Any], query: str = "") -> Any:
    answer = client.ask("PUT", f"/v1/contract{query}", {"room_types": {"chat": chat}})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_contract_is_put_once_however_often_it_is_sent(client: Rest) -> None:
    assert client.gets("/v1/contract") == {"version": 0, "room_types": {}}
    assert puts(client, CHAT) == {
        "version": 1,
        "changes": [{"path": "$.room_types.chat", "change": "added", "breaking": False}],
    }
    assert puts(client, CHAT) == {"version": 1, "changes": []}
    assert client.gets("/v1/contract") == {"version": 1, "room_types": {"chat": CHAT}}


def test_a_version_that_is_not_the_one_in_force_is_a_conflict(client: Rest) -> None:
    puts(client, CHAT)
    body = {"version": 0, "room_types": {"chat": CHAT}}
    assert "version 1" in client.refused("conflict", "PUT", "/v1/contract", body).detail
    assert client.ask("PUT", "/v1/contract", body | {"version": 1}).json()["version"] == 1


def test_a_breaking_change_is_refused_with_each_break_until_it_is_meant(client: Rest) -> None:
    puts(client, CHAT)
    wanted = CHAT | {
        "messages": {"said": TEXT | {"properties": {"text": {"type": "integer"}}, "required": []}},
        "signals": {},
    }
    body = {"room_types": {"chat": wanted}}
    answer = client.ask("PUT", "/v1/contract", body)
    problem_of(answer, "conflict")
    said = "$.room_types.chat.messages.said"
    breaks = [
        {"path": f"{said}.properties.colour", "change": "removed"},
        {"path": f"{said}.properties.text.type", "change": "changed from string to integer"},
        {"path": f"{said}.required", "change": "text is no longer required"},
        {"path": "$.room_types.chat.signals.typing", "change": "removed"},
    ]
    assert answer.json()["breaks"] == breaks
    assert client.gets("/v1/contract")["version"] == 1
    told = client.ask("PUT", "/v1/contract?dry_run=true", body).json()
    assert told["version"] == 1
    assert [{"path": each["path"], "change": each["change"]} for each in told["changes"] if each["breaking"]] == breaks
    assert client.gets("/v1/contract")["version"] == 1
    assert puts(client, wanted, "?breaking=true")["version"] == 2
    assert client.gets("/v1/contract")["room_types"]["chat"] == {k: v for k, v in wanted.items() if v}


def test_versions_are_kept_with_who_made_them_newest_first(client: Rest, operator: Rest, tenant: Tenant) -> None:
    for most in (100, 200, 300):
        puts(client, CHAT | {"history_messages": most})
    first = client.gets("/v1/contract/versions?limit=2")
    assert [(each["version"], each["actor_kind"]) for each in first["items"]] == [(3, "api_key"), (2, "api_key")]
    rest = client.gets(f"/v1/contract/versions?limit=2&cursor={first['next_cursor']}")
    assert [each["version"] for each in rest["items"]] == [1]
    assert rest["next_cursor"] is None
    old = client.gets("/v1/contract/versions/2")
    assert old == {"version": 2, "room_types": {"chat": CHAT | {"history_messages": 200}}}
    for missing in (4, 2**53 - 1):
        client.refused("not_found", "GET", f"/v1/contract/versions/{missing}")
    client.refused("invalid", "GET", "/v1/contract/versions/0")
    with operator:
        assert operator.gets(f"/v1/tenants/{tenant.name}/contract")["version"] == 3
        assert operator.gets(f"/v1/tenants/{tenant.name}/contract/versions/2") == old
        body = {"room_types": {"chat": CHAT}}
        assert operator.ask("PUT", f"/v1/tenants/{tenant.name}/contract", body).json()["version"] == 4
    assert client.gets("/v1/contract/versions")["items"][0]["actor_kind"] == "operator"


def test_the_audit_tells_the_changes(client: Rest) -> None:
    puts(client, CHAT)
    puts(client, CHAT | {"state": None}, "?breaking=true")
    entry = client.gets("/v1/audit?limit=1")["items"][0]
    assert (entry["action"], entry["subject"], entry["before"]) == ("contract.put", "2", {"version": 1})
    change = {"path": "$.room_types.chat.state", "change": "removed", "breaking": True}
    assert entry["after"] == {"version": 2, "changes": [change]}


def test_types_put_one_by_one_are_the_contract_too(client: Rest) -> None:
    assert client.ask("PUT", "/v1/room-types/chat", CHAT).status_code == 201
    assert client.gets("/v1/contract") == {"version": 1, "room_types": {"chat": CHAT}}
    detail = client.gets("/v1/room-types/chat")
    assert (detail["messages"], detail["state"], detail["additional"]) == ({"said": TEXT}, STATE, "allow")
    without = {"pattern": "chat:*"}
    answer = client.ask("PUT", "/v1/room-types/chat", without)
    assert problem_of(answer, "conflict").detail
    assert len(answer.json()["breaks"]) == 3
    client.refused("conflict", "DELETE", "/v1/room-types/chat")
    assert client.ask("PUT", "/v1/room-types/chat?breaking=true", without).status_code == 200
    assert client.ask("DELETE", "/v1/room-types/chat").status_code == 204
    assert client.gets("/v1/contract")["version"] == 3


@pytest.mark.parametrize(
    ("schema", "path", "word"),
    [
        ({"$ref": "http://localhost:1/x"}, ".$ref", "$ref"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, ".properties.a.$ref", "$ref"),
        ({"type": "strin"}, ".type", "JSON Schema"),
        ({"pattern": "(?=a)b"}, ".pattern", "groups"),
        ({"pattern": "(a{100}){100}"}, ".pattern", "states"),
        ({"$ref": "#"}, "", "look at the same value"),
    ],
)  # fmt: skip
def test_a_schema_that_can_not_be_is_refused_by_path(
    client: Rest, schema: dict[str, Any], path: str, word: str
) -> None:
    body = {"room_types": {"chat": {"messages": {"said": schema}}}}
    problem = client.refused("invalid", "PUT", "/v1/contract", body)
    assert problem.path == f"$.room_types.chat.messages.said{path}"
    assert word in problem.detail
    assert client.refused("invalid", "PUT", "/v1/room-types/chat", body["room_types"]["chat"]).path == (
        f"$.messages.said{path}"
    )


@pytest.mark.provokes("limit:max_contract_bytes")
def test_a_contract_over_its_limits_is_refused(client: Rest) -> None:
    large = {"room_types": {"chat": {"messages": {"said": {"enum": ["a" * 40_000]}}}}}
    assert client.refused("too_large", "PUT", "/v1/contract", large).limit == "max_schema_bytes"
    many = {f"n{index}": {"description": "a" * 30_000} for index in range(40)}
    larger = {"room_types": {"chat": {"messages": many}}}
    assert client.refused("too_large", "PUT", "/v1/contract", larger).limit == "max_contract_bytes"
    names: dict[str, Any] = {"room_types": {"chat": {"messages": {f"n{index}": {} for index in range(1_001)}}}}
    assert client.refused("invalid", "PUT", "/v1/contract", names).path == "$.room_types"
    types: dict[str, Any] = {"room_types": {f"t{index}": {} for index in range(101)}}
    assert client.refused("too_many", "PUT", "/v1/contract", types).limit == "max_room_types"
    same = {"room_types": {"a": {"pattern": "x*"}, "b": {"pattern": "x*"}}}
    assert "pattern" in client.refused("conflict", "PUT", "/v1/contract", same).detail


def test_two_types_may_change_their_patterns_with_each_other(client: Rest) -> None:
    body = {"room_types": {"a": {"pattern": "one:*"}, "b": {"pattern": "two:*"}}}
    assert client.ask("PUT", "/v1/contract", body).status_code == 200
    swapped = {"room_types": {"a": {"pattern": "two:*"}, "b": {"pattern": "one:*"}}}
    assert client.ask("PUT", "/v1/contract", swapped).json()["version"] == 2


@pytest.mark.provokes("error:schema")
def test_what_does_not_fit_is_refused_over_rest_and_nothing_is_stored(client: Rest) -> None:
    puts(client, CHAT | {"additional": "refuse"})
    path = "/v1/rooms/chat:1/messages"
    problem = client.refused("schema", "POST", path, {"name": "said", "data": {"text": 5}})
    assert (problem.status, problem.path, problem.room) == (422, "$.data.text", "chat:1")
    assert client.refused("schema", "POST", path, {"name": "said", "data": {}}).path == "$.data.text"
    assert client.refused("schema", "POST", path, {"name": "other", "data": 1}).path == "$.name"
    assert client.refused("schema", "POST", path, {"data": 1}).path == "$.name"
    body = {
        "messages": [
            {"room": "chat:1", "name": "said", "data": {"text": 1}},
            {"room": "chat:1", "name": "said", "data": {"text": "fits"}},
        ]
    }
    first, second = client.ask("POST", "/v1/messages", body).json()["results"]
    assert (first["problem"]["status"], first["problem"]["path"]) == (422, "$.data.text")
    assert second["position"].endswith(":1")
    kept = client.gets(path)["messages"]
    assert [each["data"] for each in kept] == [{"text": "fits"}]


def test_what_fits_is_written_anew_and_what_has_no_schema_passes_untouched(client: Rest) -> None:
    puts(client, CHAT)
    body = b'{"name": "said", "data": {"text": "one", "text": "t\\u0077o"}}'
    assert client.ask("POST", "/v1/rooms/chat:1/messages", body).status_code == 201
    other = b'{"name": "free", "data": {"a": 1,  "a": 2}}'
    assert client.ask("POST", "/v1/rooms/chat:1/messages", other).status_code == 201
    text = client.ask("GET", "/v1/rooms/chat:1/messages").text
    assert '{"text":"two"}' in text
    assert '{"a": 1,  "a": 2}' in text


def test_a_user_is_refused_over_http_and_over_the_socket(server: Server, client: Rest, tenant: Tenant) -> None:
    puts(client, CHAT)
    token = tenant.token("alice", rooms={"chat:*": ["*"]})
    with Rest(server, token) as user:
        command = {"type": "publish", "room": "chat:1", "name": "said", "data": {"text": "x" * 101}}
        assert user.refused("schema", "POST", "/v1/commands", command).path == "$.data.text"
    with socket_of(server, token) as socket:
        expects(socket, "welcome")

        def refused(command: str) -> tuple[str, str, str, int]:
            socket.send(command)
            error = expects(socket, "error")
            return error["code"], error["path"], error["room"], error["id"]

        join = '{"type":"join","room":"chat:1","id":1,"state":{"mood":7}}'
        assert refused(join) == ("schema", "$.state.mood", "chat:1", 1)
        socket.send('{"type":"join","room":"chat:1","id":2,"state":{"mood":"good"}}')
        expects(socket, "joined")
        state = '{"type":"set_state","room":"chat:1","id":3,"state":{"mood":null}}'
        assert refused(state) == ("schema", "$.state.mood", "chat:1", 3)
        typing = '{"type":"signal","room":"chat:1","id":4,"name":"typing","data":{"on":"yes"}}'
        assert refused(typing) == ("schema", "$.data.on", "chat:1", 4)
        publish = '{"type":"publish","room":"chat:1","id":5,"name":"said","data":{"text":"a","colour":"green"}}'
        assert refused(publish) == ("schema", "$.data.colour", "chat:1", 5)
        socket.send('{"type":"publish","room":"chat:1","name":"said","data":{"text":"a","size":1}}')
        assert expects(socket, "error")["path"] == "$.data.size"
        socket.send('{"type":"publish","room":"chat:1","id":6,"name":"said","data":{"text":"a"}}')
        assert expects(socket, "published")["position"].endswith(":1")


def test_a_change_is_in_force_within_two_seconds_for_rooms_in_use(server: Server, client: Rest, tenant: Tenant) -> None:
    client.publishes("chat:1", {"text": 1}, name="said")
    puts(client, CHAT)
    message = {"name": "said", "data": {"text": 1}}
    within(2, lambda: client.ask("POST", "/v1/rooms/chat:1/messages", message).status_code, 422)


def test_usage_tells_what_did_not_fit_by_room_type_and_name(client: Rest) -> None:
    puts(client, CHAT | {"additional": "refuse"})
    path = "/v1/rooms/chat:1/messages"
    for name in ("said", "said", "made-up", "made up too"):
        client.refused("schema", "POST", path, {"name": name, "data": 1})
    point = client.gets("/v1/usage?unit=minute")["items"][-1]
    assert point["refused"]["schema"] == 4
    assert point["refused_by_schema"] == [
        {"room_type": "chat", "kind": "message", "name": None, "count": 2},
        {"room_type": "chat", "kind": "message", "name": "said", "count": 2},
    ]
