"""The AsyncAPI document says what PROTOCOL.md and the code say."""

from typing import get_args

from service.documents.asyncapi import REPLIES
from service.documents.socket_description import CLOSE_REASONS, SUBPROTOCOLS, TOKEN_SUBPROTOCOL
from service.protocol.commands import WebSocketCommand
from service.protocol.errors import CloseCode
from service.protocol.events import WebSocketEvent
from service.transports import subprotocols
from tests.contract.tables import quoted, table
from tests.documents.published import document


def test_every_command_is_an_operation_with_the_reply_of_its_row() -> None:
    replies = {command.__struct_config__.tag: reply.__struct_config__.tag for command, reply in REPLIES.items()}
    assert replies == {quoted(row["type"])[0]: quoted(row["reply"])[0] for row in table("Commands: client to server")}
    operations = document("asyncapi")["operations"]
    for command, reply in REPLIES.items():
        operation = next(
            each for each in operations.values() if each["messages"][0]["$ref"].endswith(f"/{command.__name__}")
        )
        assert operation["action"] == "receive"
        assert [each["$ref"].rpartition("/")[2] for each in operation["reply"]["messages"]] == [
            reply.__name__,
            "ErrorEvent",
        ]


def test_every_event_that_comes_unasked_is_an_operation() -> None:
    sent = {name for name, operation in document("asyncapi")["operations"].items() if operation["action"] == "send"}
    assert sent == {
        "onWelcome", "onMessage", "onSignal", "onDirect", "onPresence", "onOccupancy", "onLeft", "onGap", "onExpiring",
        "onError", "onClosing", "onJoined",
    }  # fmt: skip


def test_the_channel_has_every_command_and_event() -> None:
    structs = {struct.__name__ for struct in (*get_args(WebSocketCommand), *get_args(WebSocketEvent))}
    assert document("asyncapi")["channels"]["connection"]["messages"].keys() == structs


def test_every_close_code_is_told() -> None:
    assert list(CLOSE_REASONS) == list(CloseCode)
    description = document("asyncapi")["info"]["description"]
    assert all(f"| {code:d} |" in description for code in CloseCode)


def test_the_subprotocols_are_those_of_the_handshake() -> None:
    assert SUBPROTOCOLS == (subprotocols.JSON, subprotocols.MSGPACK)
    assert subprotocols.TOKEN_PREFIX == TOKEN_SUBPROTOCOL


def test_a_pattern_is_a_channel_with_a_parameter_and_typed_operations() -> None:
    held = document("tenant-asyncapi")
    channel = held["channels"]["chatRooms"]
    assert (channel["address"], list(channel["parameters"])) == ("chat:{rest}", ["rest"])
    assert held["channels"]["newsRooms"]["address"] == "news"
    payload = held["components"]["messages"]["PublishChatSaid"]["payload"]["properties"]
    assert payload["name"] == {"type": "string", "const": "said"}
    assert payload["data"] == {"$ref": "#/components/schemas/ChatSaid"}
    assert payload["room"]["pattern"] == "^chat:"
    assert {"publishChatSaid", "onChatSaid", "sendChatTypingSignal", "setChatState", "onNewsPosted"} <= held[
        "operations"
    ].keys()


def test_an_example_of_the_tenants_that_does_not_fit_is_left_out() -> None:
    said = document("tenant-asyncapi")["components"]["messages"]["PublishChatSaid"]
    assert [example["payload"]["data"] for example in said["examples"]] == [{"text": "hello", "nested": {"a": True}}]


def test_the_tenants_openapi_has_typed_bodies_and_nothing_of_the_operators() -> None:
    held = document("tenant-openapi")
    assert not [path for path in held["paths"] if path.startswith(("/v1/tenants", "/v1/nodes"))]
    assert held["components"]["securitySchemes"].keys() == {"apiKey", "userToken"}
    body = held["paths"]["/v1/rooms/{room}/messages"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    bodies = [choice["$ref"].rpartition("/")[2] for choice in body["anyOf"]]
    assert bodies[-1] == "PublishBody"
    assert "PublishChatSaidBody" in bodies
    assert held["components"]["schemas"]["ChatSaidAuthor"]["properties"]["boss"] == {
        "$ref": "#/components/schemas/ChatSaidAuthor"
    }
