"""PROTOCOL.md's table of HTTP against the routes: each is there or waits, and takes and answers what its row says."""

import re

import msgspec
import pytest
from litestar import Router
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from msgspec import UNSET

from service.api.routes import ROUTE_HANDLERS
from service.protocol import resources
from tests.contract.tables import TEXT, Row, braced, fields, quoted, table
from tests.contract.waiting import WAITING_ROUTES

ROWS = table("HTTP, for the tenant's servers")
# These stand in PROTOCOL.md's sentences below the table.
BESIDE_THE_TABLE = {"POST /v1/commands", "GET /health/live", "GET /health/ready"}

BODIES: dict[str, type[msgspec.Struct]] = {
    "POST /v1/rooms/{room}/messages": resources.PublishBody,
    "POST /v1/messages": resources.BatchBody,
    "POST /v1/users/{user}/messages": resources.DirectBody,
    "POST /v1/tokens": resources.TokenBody,
}
ANSWERS: dict[str, type[msgspec.Struct]] = {
    "GET /v1/counts": resources.Counts,
    "GET /v1/rooms": resources.RoomSummary,
    "GET /v1/rooms/{room}": resources.RoomDetail,
    "POST /v1/rooms/{room}/messages": resources.PublishAnswer,
    "GET /v1/users/{user}": resources.UserDetail,
    "GET /v1/connections": resources.ConnectionDetail,
}


def operations(row: Row) -> list[str]:
    """Each method with its path, from "GET, PUT `/a`; GET `/b`, `/c?d=`"; a path without a method stands alone."""
    found: list[str] = []
    for clause in row["method and path"].split("; "):
        methods: list[str] = []
        after_path = False
        for method, path in re.findall(r"\b(GET|POST|PUT|DELETE)\b|`(/[^`?]*)", clause):
            if method:
                methods = [method] if after_path else [*methods, method]
            else:
                found += [f"{one} {path}" for one in methods] or [path]
            after_path = not method
    return found


def scope(row: Row, operation: str) -> str:
    """Of two scopes in a cell, `read` is for GET."""
    scopes = row["scope"].split(", ")
    if len(scopes) == 1:
        return scopes[0]
    return "read" if operation.startswith("GET ") else next(name for name in scopes if name != "read")


OPERATIONS: dict[str, Row] = {operation: row for row in ROWS for operation in operations(row)}
HANDLERS: dict[str, HTTPRouteHandler] = {
    f"{method} {route.path_format}": handler
    for route in Router(path="/", route_handlers=ROUTE_HANDLERS).routes
    if isinstance(route, HTTPRoute)
    for handler in route.route_handlers
    for method in handler.http_methods
    if method not in ("HEAD", "OPTIONS")
}
BUILT = [operation for operation in OPERATIONS if operation not in WAITING_ROUTES]


def noted(notation: str) -> dict[str, bool]:
    return {field.name: field.optional for field in fields(notation)}


def test_each_operation_of_the_table_is_built_or_waits() -> None:
    assert set(HANDLERS) - BESIDE_THE_TABLE == set(BUILT)


def test_what_waits_stands_in_the_table() -> None:
    assert set(WAITING_ROUTES) <= set(OPERATIONS)


def test_what_stands_beside_the_table_is_built() -> None:
    assert set(HANDLERS) >= BESIDE_THE_TABLE
    for operation in BESIDE_THE_TABLE:
        assert f"`{operation.partition(' ')[2]}`" in TEXT


@pytest.mark.parametrize("operation", BUILT)
def test_an_operation_needs_the_scope_of_its_row(operation: str) -> None:
    assert HANDLERS[operation].security == [{"apiKey": [scope(OPERATIONS[operation], operation)]}]


@pytest.mark.parametrize("operation", BUILT)
def test_an_operation_answers_with_the_status_of_its_row(operation: str) -> None:
    said = re.search(r"\b20\d\b", OPERATIONS[operation]["does"])
    assert said is None or HANDLERS[operation].status_code == int(said[0])


@pytest.mark.parametrize("operation", BUILT)
def test_an_operation_takes_the_query_of_its_row(operation: str) -> None:
    path = operation.partition(" ")[2]
    said = [quote for quote in quoted(OPERATIONS[operation]["method and path"]) if quote.partition("?")[0] == path]
    queries = [name for quote in said for name in re.findall(r"[?&](\w+)=", quote)]
    taken = HANDLERS[operation].parsed_fn_signature.parameters
    assert set(queries) <= set(taken)


@pytest.mark.parametrize("operation", BUILT)
def test_an_operation_takes_the_body_of_its_row(operation: str) -> None:
    notation = braced(OPERATIONS[operation]["method and path"], after="`")
    assert (notation is not None) == (operation in BODIES)
    if notation is None:
        return
    body = BODIES[operation]
    assert body.__struct_config__.forbid_unknown_fields
    assert HANDLERS[operation].parsed_fn_signature.parameters["data"].annotation is body
    assert {field.encode_name: not field.required for field in msgspec.structs.fields(body)} == noted(notation)


def test_a_message_of_a_batch_has_the_fields_of_its_row() -> None:
    notation = braced(OPERATIONS["POST /v1/messages"]["method and path"], after=r"\[")
    assert notation is not None
    message = {field.encode_name: not field.required for field in msgspec.structs.fields(resources.BatchMessage)}
    assert message == noted(notation)
    assert f"up to {resources.MAX_BATCH_MESSAGES:,}," in OPERATIONS["POST /v1/messages"]["does"]


@pytest.mark.parametrize("operation", ANSWERS)
def test_an_operation_answers_with_the_fields_of_its_row(operation: str) -> None:
    notation = braced(OPERATIONS[operation]["does"])
    assert notation is not None
    answer = ANSWERS[operation]
    assert {field.encode_name: field.default is UNSET for field in msgspec.structs.fields(answer)} == noted(notation)


def test_lists_are_items_and_next_cursor() -> None:
    assert "{items, next_cursor}" in TEXT
    for page in (resources.RoomPage, resources.ConnectionPage):
        assert page.__struct_fields__ == ("items", "next_cursor")
