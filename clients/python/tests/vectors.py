"""clients/vectors, read."""

from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

FOLDER: Final = Path(__file__).parents[2] / "vectors"


def read(name: str) -> Any:
    """One of the files."""
    return msgspec.json.decode((FOLDER / f"{name}.json").read_bytes())


def by_name(items: list[Any]) -> list[Any]:
    """Parameters of a test, with their names as ids."""
    return [pytest.param(item, id=item["name"]) for item in items]
