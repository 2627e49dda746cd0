"""The AsyncAPI document of one tenant: the product's, and a channel for the rooms of each of its room types."""

from typing import Any, Final

from service.documents.asyncapi import CHANNEL, Document, describe_protocol, error_replies, message_reference
from service.documents.contract_schemas import REFERENCE, Names, RoomSchemas, gather_schemas, pascal
from service.documents.subschemas import Schema, map_subschemas
from service.tenants.contract import Contract

_AFTER_DRAFT_07: Final = frozenset(
    {"dependentRequired", "dependentSchemas", "maxContains", "minContains", "unevaluatedItems", "unevaluatedProperties"}
)


def describe_tenant_protocol(tenant: str, contract: Contract) -> Document:
    """What the clients of this tenant's users send and get, with the schemas of its contract."""
    document = describe_protocol()
    components = document["components"]
    gathered = gather_schemas(contract, components["schemas"])
    components["schemas"] |= {name: as_draft_07(schema) for name, schema in gathered.schemas.items()}
    info = document["info"]
    info["title"] = f"Roomcast, tenant {tenant}"
    info["version"] += f"+contract.{contract.version or 0}"
    rooms = _Rooms(document)
    for room in gathered.rooms:
        rooms.add(room, gathered.schemas)
    return document


def as_draft_07(schema: Any) -> Any:
    """A schema of 2020-12 in the words of draft 7, which AsyncAPI's own schemas are; what it lacks is left out."""
    if not isinstance(schema, dict):
        return schema
    changed = map_subschemas(schema, as_draft_07)
    if "prefixItems" in changed:
        rest = changed.pop("items", None)
        changed |= {"items": changed.pop("prefixItems"), **({} if rest is None else {"additionalItems": rest})}
    if dependencies := {**changed.get("dependentRequired", {}), **changed.get("dependentSchemas", {})}:
        changed["dependencies"] = dependencies
    kept = {word: value for word, value in changed.items() if word not in _AFTER_DRAFT_07}
    if "$ref" in kept and len(kept) > 1:  # beside a reference nothing else counts
        kept["allOf"] = [{"$ref": kept.pop("$ref")}, *kept.get("allOf", ())]
    return kept


def room_schema(pattern: str) -> Schema:
    """The field `room` of what concerns rooms of a pattern."""
    beginning = pattern.removesuffix("*")
    if beginning == pattern:
        return {"type": "string", "const": pattern}
    escaped = "".join(f"\\{letter}" if letter in ".$^()[]{}|*+?\\/" else letter for letter in beginning)
    return {"type": "string", "pattern": f"^{escaped}", "maxLength": 200, "description": f"A room of {pattern}."}


def address_of(pattern: str) -> tuple[str, dict[str, Any]]:
    """A pattern as a channel's address, and the parameter in it."""
    if not pattern.endswith("*"):
        return pattern, {}
    return f"{pattern[:-1]}{{rest}}", {"rest": {"description": f"What follows `{pattern[:-1]}` in the room's name."}}


class _Rooms:
    """Puts rooms into a document: channels, messages and operations."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._messages: dict[str, Any] = document["components"]["messages"]
        self._names = Names(self._messages)
        self._channels = Names(document["channels"])

    def add(self, room: RoomSchemas, schemas: dict[str, Schema]) -> None:
        """One room type: the typed command and the typed event of each name, and of the state."""
        address, parameters = address_of(room.pattern)
        words = pascal(room.room_type)
        channel = self._channels.give(f"{words[0].lower()}{words[1:]}Rooms")
        self._document["channels"][channel] = {
            "address": address,
            "title": room.pattern,
            "description": _describe(room),
            "servers": [{"$ref": "#/servers/node"}],
            **({"parameters": parameters} if parameters else {}),
            "messages": {},
        }
        for name, component in room.messages.items():
            fields = {"room": room_schema(room.pattern), "name": {"type": "string", "const": name}}
            data = {"data": {"$ref": f"{REFERENCE}{component}"}}
            examples = [
                {"room": _a_room(room.pattern), "name": name, "data": each} for each in _shown(schemas[component])
            ]
            self._receive(channel, f"Publish{component}", "Publish", {**fields, **data}, examples, "Published")
            self._send(channel, component, "Message", "Message", {**fields, **data})
        for name, component in room.signals.items():
            fields = {"room": room_schema(room.pattern), "name": {"type": "string", "const": name}}
            data = {"data": {"$ref": f"{REFERENCE}{component}"}}
            examples = [
                {"room": _a_room(room.pattern), "name": name, "data": each} for each in _shown(schemas[component])
            ]
            self._receive(channel, f"Send{component}", "Signal", {**fields, **data}, examples, "Signalled")
            self._send(channel, component, "Event", "SignalEvent", {**fields, **data})
        if room.state is not None:
            state = {"room": room_schema(room.pattern), "state": {"$ref": f"{REFERENCE}{room.state}"}}
            examples = [{"room": _a_room(room.pattern), "state": each} for each in _shown(schemas[room.state])]
            self._receive(channel, f"Set{room.state}", "SetState", state, examples, "StateSet")

    def _receive(
        self, channel: str, name: str, like: str, fields: dict[str, Schema], examples: list[Any], reply: str
    ) -> None:
        """A command whose fields are narrower than those of the command `like`."""
        name = self._message(channel, name, like, fields, examples)
        self._document["operations"][f"{name[0].lower()}{name[1:]}"] = {
            "action": "receive",
            "channel": {"$ref": f"#/channels/{channel}"},
            "summary": self._messages[like]["summary"],
            "tags": [{"name": "commands"}],
            "messages": [message_reference(name, channel)],
            "reply": error_replies(reply, channel=CHANNEL),
        }

    def _send(self, channel: str, component: str, suffix: str, like: str, fields: dict[str, Schema]) -> None:
        """An event whose fields are narrower than those of the event `like`."""
        name = self._message(channel, f"{component}{suffix}", like, fields, [])
        self._document["operations"][f"on{component}"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{channel}"},
            "summary": self._messages[like]["summary"],
            "tags": [{"name": "events"}],
            "messages": [message_reference(name, channel)],
        }

    def _message(self, channel: str, name: str, like: str, fields: dict[str, Schema], examples: list[Any]) -> str:
        name = self._names.give(name)
        original = self._messages[like]
        tag = original["name"]
        self._messages[name] = {
            **original,
            "title": name,
            "payload": narrowed(self._document["components"]["schemas"][like], name, fields),
            "examples": [
                {"name": f"{name}{n}", "payload": {"type": tag, **each}} for n, each in enumerate(examples, 1)
            ],
        }
        self._document["channels"][channel]["messages"][name] = {"$ref": f"#/components/messages/{name}"}
        return name


def narrowed(schema: Schema, title: str, fields: dict[str, Schema]) -> Schema:
    """An object's schema with other schemas for some of its fields, which are required then."""
    order = [*schema["properties"]]
    required = {*schema["required"], *fields}
    return {
        **schema,
        "title": title,
        "properties": {**schema["properties"], **fields},
        "required": [name for name in order if name in required],
    }


def _shown(schema: Schema) -> list[Any]:
    """The examples that the tenant gave of something."""
    examples = schema.get("examples")
    return examples if isinstance(examples, list) else []


def _a_room(pattern: str) -> str:
    return f"{pattern[:-1]}1" if pattern.endswith("*") else pattern


def _describe(room: RoomSchemas) -> str:
    others = (
        "Messages and signals of other names pass unchecked."
        if room.allows_others
        else ("Messages and signals of other names, or without one, are refused (`schema`).")
    )
    return f"Rooms `{room.pattern}`, of the type `{room.room_type}`, all over the one socket `/v1/connect`. {others}"
