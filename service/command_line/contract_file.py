"""A contract's file, JSON or YAML: read as JSON would be, whatever YAML can do besides.

A file comes from a repository, and may be anybody's: aliases, of which a few lines make gigabytes, tags, which name
Python's own types, and keys that stand there twice are refused. `no`, `on` and 2026-11-24 are texts, as in YAML 1.2.
"""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

import msgspec
import rich_click as click
import yaml

from service.tenants.contract import Contract

# What PUT /v1/contract takes.
MAX_FILE_BYTES: Final = 8 * 1024 * 1024
_MAX_DEPTH: Final = 128


class _JsonLoader(yaml.SafeLoader):
    """YAML of which only JSON's values can come."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not taken")
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise yaml.YAMLError("nested too deep")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        found: set[Any] = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str) or name in found:
                problem = "found twice" if isinstance(name, str) else "no text"
                raise yaml.constructor.ConstructorError(None, None, f"a key is {problem}: {name}", key.start_mark)
            found.add(name)
        return super().construct_mapping(node, deep)


# Of what is written without quotes, only JSON's own values are no texts (the core schema of YAML 1.2, section 10.3).
_JsonLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?[0-9]{1,20}$", list("-+0123456789")),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", list("-+0123456789.")),
):
    _JsonLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def read_contract(path: Path) -> Contract:
    """The contract that a file holds. A file that holds none ends the command with a sentence."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise click.ClickException(f"{path} can't be read: {error.strerror}") from None
    if len(text) > MAX_FILE_BYTES:
        raise click.ClickException(f"{path} is over {MAX_FILE_BYTES // 1024 // 1024} MiB")
    try:
        if path.suffix == ".json":
            return msgspec.json.decode(text, type=Contract)
        return msgspec.convert(_load(text.decode()), Contract)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise click.ClickException(f"{path} is no contract: {error or 'nested too deep'}") from None


def _load(text: str) -> Any:
    loader = _JsonLoader(text)
    try:
        return loader.get_single_data()
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    finally:
        loader.dispose()
