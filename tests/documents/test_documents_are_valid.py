"""The published documents before strict validators of others, and their examples before their own schemas."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tests.documents.published import NODE, document, node_tool, validator

OPENAPI = ("openapi", "openapi-3.0", "tenant-openapi", "tenant-openapi-3.0")
ASYNCAPI = ("asyncapi", "tenant-asyncapi")


def everything_in(node: Any) -> Iterator[Any]:
    yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from everything_in(inner)


@pytest.mark.parametrize("name", OPENAPI)
def test_a_strict_validator_of_openapi_finds_nothing(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(document(name), indent=1))
    found = node_tool("redocly", "lint", "--config", str(NODE / "redocly.yaml"), "--format", "stylish", str(path))
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_parser_of_asyncapi_finds_nothing(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.json" for name in ASYNCAPI]
    for path in paths:
        path.write_text(json.dumps(document(path.stem), indent=1))
    found = node_tool("node", str(NODE / "asyncapi.mjs"), *map(str, paths))
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("name", [*OPENAPI, *ASYNCAPI])
def test_every_reference_resolves(name: str) -> None:
    for node in everything_in(document(name)):
        if isinstance(node, dict) and isinstance(reference := node.get("$ref"), str):
            found = document(name)
            for part in reference.removeprefix("#/").split("/"):
                found = found[int(part) if isinstance(found, list) else part.replace("~1", "/").replace("~0", "~")]


@pytest.mark.parametrize("name", ASYNCAPI)
def test_every_example_of_a_message_fits_its_payload(name: str) -> None:
    messages = document(name)["components"]["messages"]
    assert name != "asyncapi" or all(message["examples"] for message in messages.values())
    for title, message in messages.items():
        for example in message["examples"]:
            assert validator(name, message["payload"]).is_valid(example["payload"]), (title, example)


def test_every_example_of_a_component_fits_it() -> None:
    shown = 0
    for name in ("openapi", "tenant-openapi"):
        for title, schema in document(name)["components"]["schemas"].items():
            for example in schema.get("examples", ()):
                shown += 1
                assert validator(name, schema).is_valid(example), (title, example)
    assert shown > 70


def test_the_older_form_takes_what_the_newer_takes() -> None:
    old = document("openapi-3.0")["components"]["schemas"]
    for title, schema in document("openapi")["components"]["schemas"].items():
        for example in schema.get("examples", ()):
            as_2020 = _with_types_of_2020(old)
            held = {"$ref": f"#/components/schemas/{title}", "components": {"schemas": as_2020}}
            assert jsonschema_rs.validator_for(held, offline=True).is_valid(example), (title, example)


def test_the_older_form_has_no_word_of_the_newer() -> None:
    schemas = document("tenant-openapi-3.0")["components"]["schemas"]
    words = {word for node in everything_in(schemas) if isinstance(node, dict) and "type" in node for word in node}
    assert not words & {"const", "prefixItems", "examples", "$defs", "patternProperties", "if"}
    assert all(
        isinstance(node["type"], str | dict)
        for node in everything_in(schemas)
        if isinstance(node, dict) and "type" in node
    )


def _with_types_of_2020(node: Any) -> Any:
    """`nullable` as JSON Schema has it, so that a validator of today can judge."""
    if isinstance(node, list):
        return [_with_types_of_2020(item) for item in node]
    if not isinstance(node, dict):
        return node
    changed = {word: _with_types_of_2020(value) for word, value in node.items()}
    if changed.pop("nullable", False) is True:
        return {"anyOf": [changed, {"type": "null"}]}
    return changed
