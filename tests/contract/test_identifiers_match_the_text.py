"""The patterns of names in PROTOCOL.md against `identifiers.py`."""

import re

import pytest

from service.protocol import identifiers
from tests.contract.tables import TEXT

PATTERNS = {
    "tenant": identifiers.TENANT_PATTERN,
    "room": identifiers.ROOM_PATTERN,
    "epoch": identifiers.EPOCH_PATTERN,
    "connection": identifiers.CONNECTION_PATTERN,
}
LENGTHS = {"user": identifiers.USER_PATTERN, "message name": identifiers.MESSAGE_NAME_PATTERN}


@pytest.mark.parametrize("name", PATTERNS)
def test_a_name_has_the_pattern_of_the_text(name: str) -> None:
    said = re.search(rf"(?:^|· ?){name} `([^`]+)`", TEXT, re.MULTILINE)
    assert said is not None
    assert re.sub(r"\(\?!.*?\)", "", PATTERNS[name]) == f"^{said[1]}$"


@pytest.mark.parametrize("name", LENGTHS)
def test_a_name_has_the_length_of_the_text(name: str) -> None:
    said = re.search(rf"{name} (\d+)-(\d+) characters without control characters", TEXT)
    assert said is not None
    assert f"{{{said[1]},{said[2]}}}" in LENGTHS[name]


def test_every_pattern_ends_at_the_true_end_of_the_text() -> None:
    for pattern in (*PATTERNS.values(), *LENGTHS.values(), identifiers.POSITION_PATTERN, identifiers.RIGHTS_PATTERN):
        assert pattern.startswith("^")
        assert pattern.endswith(r"$(?!\n)")


def test_the_ids_that_survive_javascript_are_those_of_the_text() -> None:
    assert "integer within ±(2^53-1)" in TEXT
    assert identifiers.SAFE_INTEGER == 2**53 - 1
