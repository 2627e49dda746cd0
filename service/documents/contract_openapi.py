"""The OpenAPI document of one tenant: what its own servers and users may ask, with the schemas of its contract."""

from collections.abc import Iterator
from typing import Any, Final

from service.documents.contract_protocol import narrowed, room_schema
from service.documents.contract_schemas import REFERENCE, ContractSchemas, Names, gather_schemas
from service.tenants.contract import Contract

Document = dict[str, Any]

_OPERATORS: Final[list[Document]] = [{"operatorToken": []}]
_PUBLISH_PATH: Final = "/v1/rooms/{room}/messages"
_PUBLISH_BODIES: Final = {"PublishBody": "Body", "BatchMessage": "InBatch"}


def describe_tenant_openapi(product: Document, tenant: str, contract: Contract) -> Document:
    """The product's document less what is the operator's, and with typed bodies of publishes. `product` stays as is."""
    components = product["components"]
    gathered = gather_schemas(contract, components["schemas"])
    schemas = {**components["schemas"], **gathered.schemas}
    document = {
        **product,
        "info": {
            **product["info"],
            "title": f"Roomcast, tenant {tenant}",
            "version": f"{product['info']['version']}+contract.{contract.version or 0}",
        },
        "paths": _without_the_operators(product["paths"]),
        "components": {
            **components,
            "securitySchemes": {
                name: scheme for name, scheme in components["securitySchemes"].items() if name != "operatorToken"
            },
            "schemas": schemas,
        },
        "x-rooms": _rooms(gathered),
    }
    _type_bodies(document, gathered)
    needed = _reached(document, gathered.schemas)
    document["components"]["schemas"] = {name: schemas[name] for name in sorted(needed)}
    return document


def _without_the_operators(paths: Document) -> Document:
    """The paths at which somebody else than the operator may ask."""
    kept = {
        path: {method: each for method, each in item.items() if each.get("security") != _OPERATORS}
        for path, item in paths.items()
    }
    return {path: item for path, item in kept.items() if item}


def _rooms(gathered: ContractSchemas) -> Document:
    """What each room type has, for tools that want it at a glance: names to components."""
    return {
        room.pattern: {
            "messages": {name: {"$ref": f"{REFERENCE}{component}"} for name, component in room.messages.items()},
            "signals": {name: {"$ref": f"{REFERENCE}{component}"} for name, component in room.signals.items()},
            **({} if room.state is None else {"state": {"$ref": f"{REFERENCE}{room.state}"}}),
            "additional": "allow" if room.allows_others else "refuse",
        }
        for room in gathered.rooms
    }


def _type_bodies(document: Document, gathered: ContractSchemas) -> None:
    """A publish takes any of the typed bodies, or the plain one for names and rooms without a schema."""
    schemas = document["components"]["schemas"]
    names = Names(schemas)
    for plain, suffix in _PUBLISH_BODIES.items():
        typed = []
        for room in gathered.rooms:
            for name, component in room.messages.items():
                fields = {"name": {"type": "string", "const": name}, "data": {"$ref": f"{REFERENCE}{component}"}}
                if "room" in schemas[plain]["properties"]:
                    fields["room"] = room_schema(room.pattern)
                typed.append(names.give(f"Publish{component}{suffix}"))
                schemas[typed[-1]] = narrowed(schemas[plain], typed[-1], fields)
        if typed:
            choices = {"anyOf": [{"$ref": f"{REFERENCE}{name}"} for name in (*typed, plain)]}
            _put_choices(document, plain, choices)


def _put_choices(document: Document, plain: str, choices: Document) -> None:
    if plain == "PublishBody":
        item = document["paths"][_PUBLISH_PATH]
        content = {"application/json": {"schema": choices}}
        post = {**item["post"], "requestBody": {**item["post"]["requestBody"], "content": content}}
        document["paths"][_PUBLISH_PATH] = {**item, "post": post}
    else:
        schemas = document["components"]["schemas"]
        batch = schemas["BatchBody"]
        messages = {**batch["properties"]["messages"], "items": choices}
        schemas["BatchBody"] = {**batch, "properties": {**batch["properties"], "messages": messages}}


def _reached(document: Document, more: Document) -> set[str]:
    """The names of the component schemas that something refers to, and of `more` with all that they refer to."""
    schemas = document["components"]["schemas"]
    found: set[str] = set()
    waiting = [*more, *_named_in(document["paths"]), *_named_in(document["components"]["responses"])]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _named_in(schemas[name])
    return found


def _named_in(node: Any) -> Iterator[str]:
    """The components that a part of the document refers to."""
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str) and reference.startswith(REFERENCE):
            yield reference.removeprefix(REFERENCE).split("/")[0]
        for value in node.values():
            yield from _named_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from _named_in(value)
