"""Names and texts as Python writes them."""

import json
import keyword
import re
from collections.abc import Iterable
from typing import Any, Final

# What annotations are made of: a field of the name would stand before it.
_USED: Final = frozenset(
    {"Any", "Literal", "UNSET", "UnsetType", "bool", "dict", "float", "int", "list", "msgspec", "str"}
)


def attributes_of(wire_names: Iterable[str], taken: Iterable[str]) -> dict[str, str]:
    """An attribute for each name on the wire: the same where Python takes it. `taken`: names of types."""
    refused = _USED.union(taken)
    found: dict[str, str] = {}
    for wire in sorted(wire_names, key=lambda name: not _is_free(name, refused)):  # who can keep their name do
        attribute = wire
        if not _is_free(wire, refused):
            plain = re.sub(
                r"[^0-9A-Za-z_]", lambda letter: "_" if ord(letter[0]) < 128 else f"u{ord(letter[0]):x}", wire
            )
            attribute = f"f{'' if plain.startswith('_') else '_'}{plain}" if not plain[:1].isalpha() else plain
            while not _is_free(attribute, refused) or attribute in found.values():
                attribute += "_"
        found[wire] = attribute
    return found


def constant(text: str) -> str:
    """`user-chat` as `USER_CHAT`."""
    words = re.findall(r"[0-9A-Za-z]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text))
    joined = "_".join(words).upper()
    return joined if joined[:1].isalpha() else f"ANY_{joined}"


def quoted(value: Any) -> str:
    """A text or a number as Python writes it, texts in double quotes."""
    return json.dumps(value)


def docstring(text: object) -> str:
    """A description as a docstring of one paragraph, or nothing."""
    if not isinstance(text, str) or not text.strip():
        return ""
    return '"""{}"""'.format(" ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"'))


def _is_free(name: str, refused: frozenset[str]) -> bool:
    is_name = re.fullmatch(r"[A-Za-z][0-9A-Za-z_]*", name) is not None
    return is_name and not keyword.iskeyword(name) and name not in refused
