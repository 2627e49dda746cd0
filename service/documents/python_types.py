"""JSON Schemas as types of msgspec: Structs, and expressions of what stands in them. What msgspec can't decode is Any.

msgspec decodes unions of at most one Struct, one list, one dict and one text, and of several Structs only by a tag.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from service.documents.contract_schemas import REFERENCE, Names, pascal
from service.documents.python_names import attributes_of, docstring, quoted
from service.documents.python_tags import Tag, find_tags
from service.documents.struct_schemas import fields_of, is_struct, merged
from service.documents.subschemas import Schema

_PLAIN: Final = {"boolean": "bool", "integer": "int", "null": "None", "number": "float", "string": "str"}


class Atom(NamedTuple):
    """One member of a union; kind is any, struct, dict, list, text or plain. A Literal's value is in `values`."""

    kind: str
    text: str
    values: tuple[str | int, ...] = ()


Type = tuple[Atom, ...]
ANY: Final[Type] = (Atom("any", "Any"),)


def render(found: Type) -> str:
    """The type as Python writes it; all Literals as one, None last."""
    values = [value for atom in found for value in atom.values]
    texts = [atom.text for atom in found if not atom.values and atom.text != "None"]
    literal = [f"Literal[{', '.join(map(quoted, values))}]"] if values else []
    return " | ".join([*literal, *texts, *(["None"] if Atom("plain", "None") in found else [])])


class PythonTypes:
    """Writes types in the order in which they need each other.

    blocks: what is written so far. is_recursive: whether a type needs itself, so that annotations have to be lazy.
    """

    def __init__(self, schemas: Mapping[str, Schema], names: Names) -> None:
        self._schemas = schemas
        self._names = names
        self._tags: Mapping[str, Tag] = find_tags(schemas)
        self._under_way: set[str] = set()
        self._aliases: dict[str, Type] = {}
        self._written: set[str] = set()
        self.blocks: list[str] = []
        self.is_recursive = False

    def declare(self, component: str) -> Type:
        """Write the type of a component, and what it needs, unless it stands there already: what it is."""
        schema = merged(self._schemas[component], self._schemas)
        if component in self._under_way:
            self.is_recursive = True
            return (Atom("struct", component),) if is_struct(schema) else ANY  # an alias can't hold itself
        if component not in self._written:
            self._written.add(component)
            self._under_way.add(component)
            if is_struct(schema):
                self._write_struct(component, schema)
            else:
                self._aliases[component] = self.type_of(schema, f"{component}Value")
                self.blocks.append(f"{component}: TypeAlias = {render(self._aliases[component])}")
            self._under_way.remove(component)
        return self._aliases.get(component, (Atom("struct", component),))

    def type_of(self, schema: Any, name: str) -> Type:
        """The type of a schema's values; a Struct in it is written under `name`."""
        schema = merged(schema, self._schemas)
        if isinstance(reference := schema.get("$ref"), str):
            target = reference.removeprefix(REFERENCE)
            return self.declare(target) if target in self._schemas else ANY
        if "allOf" in schema:
            return ANY
        for word in ("anyOf", "oneOf"):
            if word in schema:
                beside = {"properties", "anyOf", "oneOf"} - {word}
                return ANY if beside & schema.keys() else self._choice(schema[word], name)
        if "const" in schema or "enum" in schema:
            return _joined(map(_literal, schema.get("enum", [schema.get("const")])))
        types = schema.get("type", "object" if "properties" in schema else None)
        if types is None:
            return ANY
        return _joined(self._named(each, schema, name) for each in ([types] if isinstance(types, str) else types))

    def _choice(self, choices: list[Any], name: str) -> Type:
        several = len([each for each in choices if each != {"type": "null"}]) > 1
        parts = [self.type_of(each, f"{name}{number if several else ''}") for number, each in enumerate(choices, 1)]
        return _joined(parts, self._tags)

    def _named(self, kind: str, schema: Schema, name: str) -> Type:
        if kind == "object" and fields_of(schema):
            name = self._names.give(name)
            self._write_struct(name, schema)
            return (Atom("struct", name),)
        if kind == "object":
            values = True if "patternProperties" in schema else schema.get("additionalProperties", True)
            return (Atom("dict", f"dict[str, {render(self.type_of(values, f'{name}Value'))}]"),)
        if kind == "array":
            items = True if "prefixItems" in schema else schema.get("items", True)
            return (Atom("list", f"list[{render(self.type_of(items, f'{name}Item'))}]"),)
        return (Atom("text" if kind == "string" else "plain", _PLAIN[kind]),) if kind in _PLAIN else ANY

    def _write_struct(self, name: str, schema: Schema) -> None:
        tag = self._tags.get(name)
        options = "" if tag is None else f", tag_field={quoted(tag.field)}, tag={quoted(tag.value)}"
        fields = {wire: field for wire, field in fields_of(schema).items() if tag is None or wire != tag.field}
        attributes = attributes_of(fields, self._schemas)
        lines = []
        for wire, field in fields.items():
            found = render(self.type_of(field, f"{name}{pascal(wire)}"))
            lines.append(_field(wire, attributes[wire], found, is_required=wire in schema.get("required", ())))
        about = docstring(schema.get("description"))
        body = [*([f"    {about}"] if about else []), *([""] if about and lines else []), *lines]
        head = f"class {name}(msgspec.Struct, kw_only=True, frozen=True{options}):"
        self.blocks.append("\n".join([head, *(body or ["    pass"])]))


def _field(wire: str, attribute: str, found: str, *, is_required: bool) -> str:
    annotation = found if is_required else f"{found} | UnsetType"
    if wire == attribute:
        return f"    {attribute}: {annotation}{'' if is_required else ' = UNSET'}"
    default = "" if is_required else ", default=UNSET"
    return f"    {attribute}: {annotation} = msgspec.field(name={quoted(wire)}{default})"


def _literal(value: Any) -> Type:
    match value:
        case None:
            return (Atom("plain", "None"),)
        case bool():
            return (Atom("plain", "bool"),)
        case str():
            return (Atom("text", "Literal", (value,)),)
        case int() if -(2**63) <= value < 2**63:
            return (Atom("plain", "Literal", (value,)),)
        case _:
            return ANY


def _joined(types: Iterable[Type], tags: Mapping[str, Tag] | None = None) -> Type:
    """The union of types, or Any where msgspec can't decode it. `tags`: of Structs, by name."""
    found = tuple(dict.fromkeys(atom for each in types for atom in each))
    texts = {atom.text for atom in found}
    kinds = [atom.kind for atom in found]
    structs = [atom.text for atom in found if atom.kind == "struct"]
    known = [(tags or {}).get(name) for name in structs]
    is_tagged = len({tag.field for tag in known if tag}) == 1 and len(set(known) - {None}) == len(structs)
    if (
        "any" in kinds
        or (len(structs) > 1 and not is_tagged)
        or kinds.count("dict") + bool(structs) > 1
        or kinds.count("list") > 1
    ):
        return ANY
    wide = {kind for kind, name in (("text", "str"), ("plain", "int")) if name in texts}
    return tuple(atom for atom in found if not (atom.values and atom.kind in wide))
