import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import httpx
import jsonschema_rs
import msgspec
import pytest
from litestar import Litestar
from litestar.di import Provide
from litestar.testing import TestClient

from service.api.problems import EXCEPTION_HANDLERS
from service.api.routes import ROUTE_HANDLERS
from service.documents.openapi import OPENAPI_CONFIG, finish_openapi
from service.protocol.commands import Publish, WebSocketCommand
from service.protocol.errors import RateLimited, problem
from service.protocol.events import Pong, WebSocketEvent
from tests.api.rest import Server


@cache
def published() -> tuple[str, Any]:
    """The document as it is served: its media type and its content."""
    app = Litestar(
        ROUTE_HANDLERS,
        dependencies={
            name: Provide(lambda: None, sync_to_thread=False)
            for name in ("node", "tenants", "storage", "operators", "roll_call", "documents")
        },
        exception_handlers=EXCEPTION_HANDLERS,
        openapi_config=OPENAPI_CONFIG,
        logging_config=None,
    )
    finish_openapi(app)
    with TestClient(app) as client:
        answer = client.get("/schema/openapi.json")
        assert client.get("/schema").status_code == client.get("/schema/elements").status_code == 404
    return answer.headers["content-type"], answer.json()


def document() -> Any:
    return published()[1]


def operations() -> Iterator[tuple[str, str, Any]]:
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def everything_in(node: Any) -> Iterator[Any]:
    yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from everything_in(inner)


def validator(name: str) -> Any:
    """Of the component schema `name`."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": document()["components"]}
    return jsonschema_rs.Draft202012Validator(schema)


def test_the_document_is_openapi_3_1() -> None:
    media_type, content = published()
    assert media_type == "application/vnd.oai.openapi+json"
    assert content["openapi"].startswith("3.1.")
    assert content["info"]["title"] == "Roomcast"


def test_the_running_server_publishes_the_same_to_anybody(server: Server) -> None:
    answer = httpx.get(f"{server.address}/schema/openapi.json")
    assert answer.status_code == 200
    assert answer.json() == document()


def test_every_reference_resolves() -> None:
    for node in everything_in(document()):
        if isinstance(node, dict) and isinstance(reference := node.get("$ref"), str):
            found = document()
            for part in reference.removeprefix("#/").split("/"):
                found = found[part]


def test_every_component_schema_is_referred_to() -> None:
    references = {node["$ref"] for node in everything_in(document()) if isinstance(node, dict) and "$ref" in node}
    for name in document()["components"]["schemas"]:
        assert f"#/components/schemas/{name}" in references


def test_every_operation_reads_as_a_method_and_says_what_it_does() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(ids)) == len(ids)
    of_a_tenant = {
        "createKey", "createSigningKey", "createToken", "deleteRoomType", "disconnect", "disconnectUser",
        "forgetMessages", "getAsyncapi", "getConnection", "getContract", "getContractVersion", "getCounts",
        "getOpenapi", "getRoom", "getRoomType", "getStats", "getUsage", "getUser", "listChanges", "listConnections",
        "listContractVersions", "listKeys", "listMembers", "listMessages", "listRoomTypes", "listRooms",
        "listSigningKeys", "publishMessage", "publishMessages", "putContract", "putRoomType", "removeMember",
        "revokeKey", "revokeSigningKey", "revokeTokens", "sendToUser",
    }  # fmt: skip
    assert set(ids) == {
        *of_a_tenant, *(f"{name}ForTenant" for name in of_a_tenant),
        "runCommand", "isLive", "isReady",
        "changeTenant", "createTenant", "deleteTenant", "getTenant", "listTenants", "resumeTenant", "suspendTenant",
        "drainNode", "getNodesStats", "getRedis", "listNodes",
    }  # fmt: skip
    for _, _, operation in operations():
        assert operation["summary"]
        assert operation["description"]


def test_every_operation_documents_its_refusals_as_problems() -> None:
    responses = document()["components"]["responses"]
    for path, _, operation in operations():
        refused = {status: found for status, found in operation["responses"].items() if not status.startswith("2")}
        assert {"500", "503", "default"} <= refused.keys()
        assert {"400", "401", "403", "429"} <= refused.keys() or path.startswith("/health/")
        for found in refused.values():
            content = responses[found["$ref"].rpartition("/")[2]]["content"]
            assert content["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}


def test_operations_say_whose_bearer_they_want_and_which_scope() -> None:
    wanted = {(path, method): operation.get("security") for path, method, operation in operations()}
    assert wanted["/v1/commands", "post"] == [{"userToken": []}]
    assert wanted["/v1/rooms/{room}/messages", "delete"] == [{"apiKey": ["manage"]}]
    assert wanted["/v1/counts", "get"] == [{"apiKey": ["read"]}]
    assert wanted["/health/live", "get"] == []
    assert wanted["/v1/tenants/{tenant}/counts", "get"] == wanted["/v1/tenants", "post"] == [{"operatorToken": []}]
    assert document()["components"]["securitySchemes"].keys() == {"apiKey", "operatorToken", "userToken"}


def test_what_is_there_for_a_tenant_is_there_for_the_operator_too() -> None:
    paths = document()["paths"]
    operators = ("/v1/tenants", "/v1/nodes", "/v1/redis")
    own = {path for path in paths if path.startswith("/v1/") and not path.startswith(operators)} - {"/v1/commands"}
    for path in own:
        doubled = paths[f"/v1/tenants/{{tenant}}{path.removeprefix('/v1')}"]
        assert doubled.keys() == paths[path].keys()
        for method, operation in paths[path].items():
            assert doubled[method]["summary"] == operation["summary"]
            assert doubled[method].get("requestBody") == operation.get("requestBody")
            assert doubled[method]["parameters"][0]["name"] == "tenant"


def test_a_body_that_may_be_left_out_is_said_to_be_so() -> None:
    paths = document()["paths"]
    assert paths["/v1/tenants/{tenant}/suspend"]["post"]["requestBody"]["required"] is False
    assert paths["/v1/tenants"]["post"]["requestBody"]["required"] is True


def test_putting_a_room_type_tells_whether_it_is_new() -> None:
    responses = document()["paths"]["/v1/room-types/{name}"]["put"]["responses"]
    assert responses["200"]["content"] == responses["201"]["content"]


@pytest.mark.parametrize(
    ("name", "union"), [("WebSocketCommand", WebSocketCommand), ("WebSocketEvent", WebSocketEvent)]
)
def test_both_unions_are_discriminated_components_of_the_command_operation(name: str, union: Any) -> None:
    schema = document()["components"]["schemas"][name]
    tags = {member.__struct_config__.tag for member in union.__args__}
    assert schema["discriminator"]["propertyName"] == "type"
    assert schema["discriminator"]["mapping"].keys() == tags
    assert {choice["$ref"] for choice in schema["oneOf"]} == set(schema["discriminator"]["mapping"].values())
    for tag, reference in schema["discriminator"]["mapping"].items():
        member = document()["components"]["schemas"][reference.rpartition("/")[2]]
        assert member["properties"]["type"] == {"type": "string", "const": tag}
        assert "type" in member["required"]
        assert member["description"]
    operation = document()["paths"]["/v1/commands"]["post"]
    body = operation["requestBody"] if name == "WebSocketCommand" else operation["responses"]["200"]
    assert body["content"]["application/json"]["schema"] == {"$ref": f"#/components/schemas/{name}"}


def test_bodies_forbid_unknown_fields_and_keep_their_defaults() -> None:
    schemas = document()["components"]["schemas"]
    bodies = ("Publish", "Ping", "PublishBody", "BatchBody", "BatchMessage", "DirectBody", "TokenBody", "TenantBody")
    for name in (*bodies, "TenantChange", "StateChange", "ApiKeyBody", "SigningKeyBody", "RevocationBody", "RoomType"):
        assert schemas[name]["additionalProperties"] is False
    assert schemas["Publish"]["properties"]["echo"] == {"type": "boolean", "default": False}
    assert schemas["RoomDetail"]["properties"]["position"] == {"type": ["string", "null"]}
    assert schemas["BatchBody"]["properties"]["messages"]["maxItems"] == 1000


def test_parameters_are_what_the_server_takes() -> None:
    parameters = {
        parameter["name"]: parameter
        for path in ("/v1/rooms", "/v1/users/{user}/connections", "/v1/rooms/{room}/messages")
        for operation in document()["paths"][path].values()
        for parameter in operation["parameters"]
    }
    assert parameters.keys() == {"prefix", "cursor", "limit", "user", "reconnect", "room", "since", "before"}
    assert [parameters[name]["in"] for name in ("room", "user", "limit")] == ["path", "path", "query"]
    limit = parameters["limit"]["schema"]
    assert (limit["type"], limit["minimum"], limit["maximum"], limit["default"]) == ("integer", 1, 1000, 100)
    assert parameters["cursor"]["schema"]["type"] == "string"
    assert parameters["reconnect"]["schema"]["default"] is False
    assert all(parameter["description"] for parameter in parameters.values())


def test_every_example_is_valid() -> None:
    examples = [
        (media["schema"]["$ref"].rpartition("/")[2], example["value"])
        for node in everything_in(document())
        if isinstance(node, dict) and "content" in node
        for media in node["content"].values()
        for example in media.get("examples", {}).values()
    ]
    assert len(examples) == 15
    for name, value in examples:
        validator(name).validate(value)


def test_the_schemas_take_what_the_server_sends() -> None:
    validator("WebSocketEvent").validate(json.loads(msgspec.json.encode(Pong(id="a", time_ms=1))))
    refusal = problem(RateLimited("api_requests_per_second", "tenant", 20))
    validator("Problem").validate(json.loads(msgspec.json.encode(refusal)))


def test_the_schema_refuses_a_command_with_an_unknown_field() -> None:
    command = json.loads(msgspec.json.encode(Publish(room="chat", data=msgspec.Raw(b"1"))))
    schema = validator("WebSocketCommand")
    assert schema.is_valid(command)
    assert not schema.is_valid({**command, "colour": "red"})
    assert not schema.is_valid({**command, "room": "two words"})
    assert not schema.is_valid({**command, "type": "jump"})
