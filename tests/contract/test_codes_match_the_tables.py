"""PROTOCOL.md's error and close codes against `errors.py`."""

import re
from typing import get_args

import msgspec

from service.protocol.errors import BAD_COMMAND_CODES, ERROR_KINDS, RECONNECTS, CloseCode, ErrorCode, Problem
from service.protocol.events import ErrorEvent
from tests.contract.tables import TEXT, quoted, table

ERRORS = {quoted(row["code"])[0]: row for row in table("Errors: one list for both edges")}
CLOSES = {int(code): row["reconnect"] for row in table("Close codes") for code in re.findall(r"\d{4}", row["code"])}


def test_the_error_codes_are_those_of_the_table_in_its_order() -> None:
    assert list(get_args(ErrorCode)) == list(ERRORS) == list(ERROR_KINDS)


def test_each_error_has_the_http_status_of_its_row() -> None:
    assert {code: str(kind.status) for code, kind in ERROR_KINDS.items()} == {
        code: row["HTTP"] for code, row in ERRORS.items()
    }


def test_an_error_is_temporary_exactly_if_its_row_says_so() -> None:
    assert {code for code, kind in ERROR_KINDS.items() if kind.temporary} == {
        code for code, row in ERRORS.items() if row["temporary"] == "yes"
    }


def test_the_bad_commands_are_those_that_count_towards_the_flood_limit() -> None:
    sentence = re.search(r"A bad command \(([^)]*)\) never costs the connection", TEXT)
    assert sentence is not None
    assert set(quoted(sentence[1])) == BAD_COMMAND_CODES


def test_a_problem_has_the_optional_fields_of_the_error_event() -> None:
    def optional(struct: type[msgspec.Struct]) -> set[str]:
        return {field.encode_name for field in msgspec.structs.fields(struct) if not field.required}

    assert optional(Problem) == optional(ErrorEvent) - {"id"} | {"breaks"}
    assert "the optional fields of `error`, and `breaks` of a contract's `conflict`" in TEXT


def test_the_close_codes_are_those_of_the_table() -> None:
    assert {code.value for code in CloseCode} == set(CLOSES)


def test_the_codes_that_reconnect_are_those_whose_row_says_so() -> None:
    assert {code for code, cell in CLOSES.items() if cell.startswith(("yes", "with a new token"))} == RECONNECTS
