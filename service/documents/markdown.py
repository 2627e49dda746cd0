"""The little Markdown that descriptions are written in, as HTML: headings, paragraphs, tables and `code`."""

import re
from html import escape


def to_html(text: str) -> str:
    """Blocks are parted by empty lines; every `&`, `<`, `>` and quote of the text is escaped."""
    return "\n".join(_block(block.splitlines()) for block in re.split(r"\n{2,}", text.strip()))


def inline(text: str) -> str:
    """One line: `code`, and all else as it is."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _block(lines: list[str]) -> str:
    if lines[0].startswith("#"):
        marks, _, title = lines[0].partition(" ")
        return f"<h{len(marks)}>{inline(title)}</h{len(marks)}>"
    if lines[0].startswith("|"):
        head, _, *rows = lines
        body = "".join(_row(row, "td") for row in rows)
        return f"<table><thead>{_row(head, 'th')}</thead><tbody>{body}</tbody></table>"
    return f"<p>{inline(' '.join(lines))}</p>"


def _row(line: str, cell: str) -> str:
    return "<tr>" + "".join(f"<{cell}>{inline(text.strip())}</{cell}>" for text in line.strip("|").split("|")) + "</tr>"
