"""The rows of PROTOCOL.md that a test has to provoke, and the tests that say they do.

A test says so by `@pytest.mark.provokes("error:not_joined", "close:1008")`, or by `marks=` of a `pytest.param`.
The marks are read from the source, so that no run of the tests is needed to know them.
"""

import ast
import re
from pathlib import Path

from tests.contract.tables import quoted, table

TESTS = Path(__file__).parents[1]


def rows() -> set[str]:
    """Every row of the error, close and limit tables: `error:<code>`, `close:<code>`, `limit:<name>`."""
    errors = {f"error:{quoted(row['code'])[0]}" for row in table("Errors: one list for both edges")}
    closes = {f"close:{code}" for row in table("Close codes") for code in re.findall(r"\d{4}", row["code"])}
    limits = {f"limit:{name}" for row in table("Limits in force") for name in quoted(row["limit"])}
    return errors | closes | limits


def provoked() -> dict[str, list[str]]:
    """Each row that a test is marked with, and the files and lines of its marks."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), path.name)):
            if not (
                isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "provokes"
            ):
                continue
            place = f"{path.relative_to(TESTS)}:{node.lineno}"
            for argument in node.args:
                assert isinstance(argument, ast.Constant), f"{place}: provokes() takes plain texts"
                found.setdefault(str(argument.value), []).append(place)
    return found
