"""The AsyncAPI 3.0 document of the socket protocol, from the Structs.

Roomcast is the application that the document speaks of: it receives commands and sends events. One channel is one
socket; each command is an operation with its replies, each event that comes unasked is one, too.
"""

from importlib.metadata import version
from typing import Any, Final, get_args

from msgspec import Struct

from service.documents.examples import examples_by_struct
from service.documents.schemas import component_schemas
from service.documents.socket_description import SUBPROTOCOLS, TOKEN_SUBPROTOCOL, describe_socket
from service.protocol import commands, events
from service.protocol.commands import WebSocketCommand
from service.protocol.events import WebSocketEvent

Document = dict[str, Any]

REPLIES: Final[dict[type[Struct], type[Struct]]] = {
    commands.Authenticate: events.Authenticated,
    commands.Join: events.Joined,
    commands.Leave: events.Left,
    commands.Publish: events.Published,
    commands.Signal: events.Signalled,
    commands.Send: events.Sent,
    commands.SetState: events.StateSet,
    commands.Members: events.MembersEvent,
    commands.History: events.HistoryEvent,
    commands.Ping: events.Pong,
}
# Replies that come unasked, too: of the claim `join`, of what a server does, and for frames that are no command.
_ALSO_UNASKED: Final = {events.Joined, events.Left, events.ErrorEvent}
CHANNEL: Final = "connection"


def describe_protocol() -> Document:
    """The product's document. Raises nothing; the same for every tenant."""
    members = [*get_args(WebSocketCommand), *get_args(WebSocketEvent)]
    _, schemas = component_schemas(members, {})
    examples = examples_by_struct()
    messages = {member.__name__: _message(member, examples[member.__name__]) for member in members}
    return {
        "asyncapi": "3.0.0",
        "id": "urn:roomcast:protocol:1",
        "info": {
            "title": "Roomcast",
            "version": version("roomcast"),
            "description": describe_socket(),
            "license": {"name": "MIT"},
            "tags": [{"name": "commands"}, {"name": "events"}, {"name": "replies"}],
        },
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": {CHANNEL: _channel(list(messages))},
        "operations": dict(map(_operation, members_with_operations(members))),
        "components": {"schemas": schemas, "messages": messages, "securitySchemes": _security_schemes()},
    }


def members_with_operations(members: list[type[Struct]]) -> list[type[Struct]]:
    """Of commands and events, those that somebody starts with: all but the replies that only follow a command."""
    return [member for member in members if member in _ALSO_UNASKED or member not in REPLIES.values()]


def operation_id(member: type[Struct]) -> str:
    """How a client's method would be named: `setState` for a command, `onMessage` for an event."""
    words = "".join(part.capitalize() for part in _tag(member).split("_"))
    return f"{words[0].lower()}{words[1:]}" if member in REPLIES else f"on{words}"


def message_reference(name: str, channel: str = CHANNEL) -> dict[str, str]:
    """A reference to one of a channel's messages, by the name of its Struct."""
    return {"$ref": f"#/channels/{channel}/messages/{name}"}


def error_replies(*names: str, channel: str = CHANNEL) -> dict[str, Any]:
    """The reply of a command: one of these messages, or an error."""
    replies = [message_reference(name, channel) for name in (*names, "ErrorEvent")]
    return {"channel": {"$ref": f"#/channels/{channel}"}, "messages": replies}


def _servers() -> Document:
    return {
        "node": {
            "host": "{host}",
            "protocol": "wss",
            "description": "Any node; behind a proxy that ends TLS. On this machine alone it may be `ws`.",
            "variables": {"host": {"description": "Where the nodes are reached.", "default": "localhost:8000"}},
            "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in _security_schemes()],
        }
    }


def _security_schemes() -> Document:
    return {
        "userToken": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A token of one of the tenant's users, signed by a key of the tenant.",
        },
        "userTokenAsSubprotocol": {
            "type": "httpApiKey",
            "in": "header",
            "name": "Sec-WebSocket-Protocol",
            "description": f"The same for browsers: `{SUBPROTOCOLS[0]}, {TOKEN_SUBPROTOCOL}<jwt>`.",
        },
    }


def _channel(messages: list[str]) -> Document:
    subprotocol = {
        "type": "string",
        "description": f"`{SUBPROTOCOLS[0]}` or `{SUBPROTOCOLS[1]}`, and from browsers `{TOKEN_SUBPROTOCOL}<jwt>`.",
        "examples": [SUBPROTOCOLS[0], f"{SUBPROTOCOLS[1]}, {TOKEN_SUBPROTOCOL}header.payload.signature"],
    }
    return {
        "address": "/v1/connect",
        "title": "One connection",
        "description": "All rooms of a connection share one socket; the field `room` tells them apart.",
        "servers": [{"$ref": "#/servers/node"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {
            "ws": {
                "method": "GET",
                "headers": {"type": "object", "properties": {"Sec-WebSocket-Protocol": subprotocol}},
                "bindingVersion": "0.1.0",
            }
        },
    }


def _message(member: type[Struct], examples: list[Any]) -> Document:
    repeats_id = "id" in member.__struct_fields__
    shown = [{"name": f"{member.__name__}{number}", "payload": item} for number, item in enumerate(examples, 1)]
    return {
        "name": _tag(member),
        "title": member.__name__,
        "summary": first_paragraph(member),
        "tags": [{"name": _kind(member)}],
        "payload": {"$ref": f"#/components/schemas/{member.__name__}"},
        **({"correlationId": {"location": "$message.payload#/id"}} if repeats_id else {}),
        "examples": shown,
    }


def _operation(member: type[Struct]) -> tuple[str, Document]:
    reply = REPLIES.get(member)
    operation: Document = {
        "action": "send" if reply is None else "receive",
        "channel": {"$ref": f"#/channels/{CHANNEL}"},
        "title": _tag(member),
        "summary": first_paragraph(member),
        "tags": [{"name": _kind(member)}],
        "messages": [message_reference(member.__name__)],
    }
    if reply is not None:
        operation["reply"] = error_replies(reply.__name__)
    return operation_id(member), operation


def _kind(member: type[Struct]) -> str:
    if member in REPLIES:
        return "commands"
    return "replies" if issubclass(member, events.Reply) else "events"


def _tag(member: type[Struct]) -> str:
    return str(member.__struct_config__.tag)


def first_paragraph(member: type[Struct]) -> str:
    """What a Struct's docstring says first, on one line."""
    return " ".join((member.__doc__ or "").split("\n\n", 1)[0].split())
