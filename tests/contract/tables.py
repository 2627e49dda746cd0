"""docs/PROTOCOL.md read as data: its tables, and the notations in their cells."""

import re
from pathlib import Path
from typing import NamedTuple

PROTOCOL = Path(__file__).parents[2] / "docs" / "PROTOCOL.md"
TEXT = PROTOCOL.read_text(encoding="utf-8")

Row = dict[str, str]


class Field(NamedTuple):
    """One field as a cell notes it: `limit?`=100 (≤ 1,000)."""

    name: str
    optional: bool
    default: str | None = None


def table(heading: str) -> list[Row]:
    """The rows of the first table below the heading that begins with these words, by column name."""
    start = re.search(rf"^## {re.escape(heading)}.*$", TEXT, re.MULTILINE)
    assert start is not None, f"PROTOCOL.md has no heading {heading!r}"
    section = TEXT[start.end() :].partition("\n## ")[0]
    lines = re.search(r"(?:^\|.*\n?)+", section, re.MULTILINE)
    assert lines is not None, f"there is no table below {heading!r}"
    columns, _, *rows = (_cells(line) for line in lines[0].splitlines())
    return [dict(zip(columns, cells, strict=True)) for cells in rows]


def _cells(line: str) -> list[str]:
    return [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def quoted(cell: str) -> list[str]:
    """All that stands in backticks."""
    return re.findall(r"`([^`]*)`", cell)


def braced(cell: str, after: str = "") -> str | None:
    """What the first braces behind `after` hold, inner ones with them; None without any."""
    opened = re.search(rf"{after}\s*\{{", cell)
    if opened is None:
        return None
    depth = 1
    for at in range(opened.end(), len(cell)):
        depth += {"{": 1, "}": -1}.get(cell[at], 0)
        if depth == 0:
            return cell[opened.end() : at]
    raise AssertionError(f"braces do not close: {cell!r}")


def fields(notation: str) -> list[Field]:
    """The fields of a cell; what is in brackets, and all after the list itself, is said to people."""
    while (flat := re.sub(r"\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}", "", notation)) != notation:
        notation = flat
    notation = re.split(r";|: (?=\w)|\. ", notation)[0]
    found = [re.match(r"\s*`?(\w+)(\??)`?(?:=(\w+))?", part) for part in notation.split(",")]
    return [Field(match[1], match[2] == "?", match[3]) for match in found if match is not None]


def number(text: str) -> int:
    """`65,536` or `64 MiB` as a number, whatever follows it."""
    match = re.match(r"([\d,]+)( MiB)?", text)
    assert match is not None, f"{text!r} does not begin with a number"
    return int(match[1].replace(",", "")) * (1024 * 1024 if match[2] else 1)
