"""The socket protocol as one page to read, made from its AsyncAPI document; it needs no script."""

import json
from html import escape
from typing import Any, Final

from service.documents.markdown import inline, to_html

_KINDS: Final = {"commands": "Commands", "events": "Events", "replies": "Replies"}
_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: the socket protocol</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="static/asyncapi.css">
</head>
<body>
<nav>
<strong>{title}</strong> <small>{version}</small>
<a href="asyncapi.json">asyncapi.json</a>
<a href="openapi">REST</a>
{links}
</nav>
<main>
<h1>{title}: the socket protocol</h1>
{description}
{messages}
<section id="schemas"><h3>Parts of messages</h3></section>
{schemas}
</main>
</body>
</html>
"""


def render_page(document: dict[str, Any]) -> bytes:
    """The page of `describe_protocol()`'s document, in UTF-8."""
    messages = document["components"]["messages"]
    schemas = document["components"]["schemas"]
    replies = _replies(document)
    by_kind = {
        kind: [name for name, message in messages.items() if message["tags"][0]["name"] == kind] for kind in _KINDS
    }
    links = "".join(
        f"<h2>{title}</h2>" + "".join(_link(name, messages[name]["name"]) for name in by_kind[kind])
        for kind, title in _KINDS.items()
    )
    sections = [
        _message(name, messages[name], schemas[name], replies.get(name, []))
        for names in by_kind.values()
        for name in names
    ]
    parts = [_part(name, schema) for name, schema in schemas.items() if name not in messages]
    page = _PAGE.format(
        title=escape(document["info"]["title"]),
        version=escape(document["info"]["version"]),
        links=links,
        description=to_html(document["info"]["description"]),
        messages="\n".join(sections),
        schemas="\n".join(parts),
    )
    return page.encode()


def _replies(document: dict[str, Any]) -> dict[str, list[str]]:
    """What each command is answered with, by the names of messages."""
    return {
        _last(operation["messages"][0]): [_last(reply) for reply in operation["reply"]["messages"]]
        for operation in document["operations"].values()
        if "reply" in operation
    }


def _message(name: str, message: dict[str, Any], schema: dict[str, Any], replies: list[str]) -> str:
    kind = message["tags"][0]["name"].removesuffix("s").replace("replie", "reply")
    answered = f"<p>Answered with {', '.join(map(_reference, replies))}.</p>" if replies else ""
    examples = "".join(
        f"<pre>{escape(json.dumps(example['payload'], ensure_ascii=False, indent=2))}</pre>"
        for example in message["examples"]
    )
    return (
        f'<section id="{name}"><h3><code>{escape(message["name"])}</code> <span class="kind">{kind}</span></h3>'
        f"<p>{inline(message['summary'])}</p>{_fields(schema)}{answered}{examples}</section>"
    )


def _part(name: str, schema: dict[str, Any]) -> str:
    about = inline(schema.get("description", ""))
    fields = _fields(schema) if "properties" in schema else f"<p>{_type(schema)}</p>"
    return f'<section id="{name}"><h3><code>{name}</code></h3><p>{about}</p>{fields}</section>'


def _fields(schema: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{_type(field)}</td>"
        f"<td>{'' if name in schema['required'] else 'may be absent'}</td><td>{_about(field)}</td></tr>"
        for name, field in schema["properties"].items()
    )
    return f"<table><thead><tr><th>field</th><th>type</th><th></th><th></th></tr></thead><tbody>{rows}</tbody></table>"


def _about(field: dict[str, Any]) -> str:
    bounds = [
        f"{word} {field[key]:,}"
        for key, word in (("minimum", "from"), ("maximum", "to"), ("minLength", "at least"), ("maxLength", "at most"))
        if key in field
    ]
    default = [f"default `{json.dumps(field['default'])}`"] if "default" in field else []
    return inline(" ".join([field.get("description", ""), "; ".join([*default, *bounds])]).strip())


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return _reference(_last(field))
    if "const" in field:
        return f"<code>{escape(json.dumps(field['const']))}</code>"
    if "enum" in field:
        return " or ".join(f"<code>{escape(json.dumps(value))}</code>" for value in field["enum"])
    if "anyOf" in field:
        return " or ".join(map(_type, field["anyOf"]))
    types = field.get("type", "any JSON")
    if types == "array":
        return f"list of {_type(field.get('items', {}))}"
    return escape(" or ".join(types) if isinstance(types, list) else types)


def _reference(name: str) -> str:
    return f'<a href="#{name}">{name}</a>'


def _link(name: str, tag: str) -> str:
    return f'<a href="#{name}">{escape(tag)}</a>'


def _last(reference: dict[str, str]) -> str:
    return reference["$ref"].rpartition("/")[2]
