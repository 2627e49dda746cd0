"""PROTOCOL.md's table of HTTP against the routes: each is there or waits, and takes and answers what its row says."""

import re

import msgspec
import pytest
from litestar import Router
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from msgspec import UNSET

from service.api.routes import ROUTE_HANDLERS
from service.protocol import administration, contracts, resources
from service.tenants.contract import Contract
from tests.contract.tables import TEXT, Row, braced, fields, quoted, table
from tests.contract.waiting import WAITING_ROUTES

ROWS = table("HTTP, for the tenant's servers")
OPERATORS_ROWS = table("HTTP, for the operator")
TENANTS = "/v1/tenants"
# These stand in PROTOCOL.md's sentences below the table.
BESIDE_THE_TABLE = {
    "POST /v1/commands",
    "GET /v1/nodes",
    "GET /v1/nodes/stats",
    "GET /v1/redis",
    "POST /v1/nodes/{node}/drain",
    "GET /health/live",
    "GET /health/ready",
}

BODIES: dict[str, type[msgspec.Struct]] = {
    "POST /v1/rooms/{room}/messages": resources.PublishBody,
    "POST /v1/messages": resources.BatchBody,
    "POST /v1/users/{user}/messages": resources.DirectBody,
    "POST /v1/tokens": resources.TokenBody,
    "POST /v1/revocations": administration.RevocationBody,
    "PUT /v1/contract": Contract,
    "POST /v1/keys": administration.ApiKeyBody,
    "POST /v1/signing-keys": administration.SigningKeyBody,
    "POST /v1/tenants": administration.TenantBody,
    "PATCH /v1/tenants/{tenant}": administration.TenantChange,
    "POST /v1/tenants/{tenant}/suspend": administration.StateChange,
    "POST /v1/tenants/{tenant}/resume": administration.StateChange,
}
ANSWERS: dict[str, type[msgspec.Struct]] = {
    "GET /v1/counts": resources.Counts,
    "GET /v1/rooms": resources.RoomSummary,
    "GET /v1/rooms/{room}": resources.RoomDetail,
    "POST /v1/rooms/{room}/messages": resources.PublishAnswer,
    "GET /v1/users/{user}": resources.UserDetail,
    "GET /v1/connections": resources.ConnectionDetail,
    "GET /v1/room-types": administration.RoomTypeDetail,
    "GET /v1/contract/versions": contracts.ContractVersion,
    "POST /v1/keys": administration.NewApiKey,
    "GET /v1/keys": administration.ApiKeyDetail,
    "POST /v1/signing-keys": administration.NewSigningKey,
    "GET /v1/signing-keys": administration.SigningKeyUse,
    "POST /v1/tenants": administration.NewTenant,
}


def operations(row: Row) -> list[str]:
    """Each method with its path, from "GET, PUT `/a`; GET `/b`, `/c?d=`"; a path without a method stands alone."""
    found: list[str] = []
    for clause in row["method and path"].split("; "):
        methods: list[str] = []
        after_path = False
        for method, path in re.findall(r"\b(GET|POST|PUT|PATCH|DELETE)\b|`(/[^`?]*)", clause):
            if method:
                methods = [method] if after_path else [*methods, method]
            else:
                found += [f"{one} {path}" for one in methods] or [path]
            after_path = not method
    return found


def scope(row: Row, operation: str) -> str:
    """Of two scopes in a cell, `read` is for GET. The operator's rows have none."""
    scopes = row["scope"].split(", ")
    if len(scopes) == 1:
        return scopes[0]
    return "read" if operation.startswith("GET ") else next(name for name in scopes if name != "read")


def where_it_is_the_operators(operation: str) -> str:
    return operation.replace(" /v1", f" {TENANTS}/{{tenant}}", 1)


OPERATIONS: dict[str, Row] = {operation: row for row in [*ROWS, *OPERATORS_ROWS] for operation in operations(row)}
HANDLERS: dict[str, HTTPRouteHandler] = {
    f"{method} {route.path_format.replace('/{name}/drain', '/{node}/drain')}": handler
    for route in Router(path="/", route_handlers=ROUTE_HANDLERS).routes
    if isinstance(route, HTTPRoute)
    for handler in route.route_handlers
    for method in handler.http_methods
    if method not in ("HEAD", "OPTIONS")
}
BUILT = [operation for operation in OPERATIONS if operation not in WAITING_ROUTES]
OF_A_TENANT = [operation for operation in BUILT if f" {TENANTS}" not in operation]


def noted(notation: str) -> dict[str, bool]:
    return {field.name: field.optional for field in fields(notation)}


def test_each_operation_of_the_tables_is_built_or_waits() -> None:
    twice = {where_it_is_the_operators(operation) for operation in OF_A_TENANT}
    assert set(HANDLERS) - BESIDE_THE_TABLE - twice == set(BUILT)


@pytest.mark.parametrize("operation", OF_A_TENANT)
def test_an_operation_for_a_tenant_is_the_operators_too(operation: str) -> None:
    assert "all of the above for one tenant below `/v1/tenants/{tenant}/…`" in TEXT
    own, operators = HANDLERS[operation], HANDLERS[where_it_is_the_operators(operation)]
    assert own.fn.__code__ is operators.fn.__code__
    assert own.security == operators.security  # its guard's; the document tells them apart by the path


def test_what_waits_stands_in_the_table() -> None:
    assert set(WAITING_ROUTES) <= set(OPERATIONS)


def test_what_stands_beside_the_table_is_built() -> None:
    assert set(HANDLERS) >= BESIDE_THE_TABLE
    for operation in BESIDE_THE_TABLE:
        assert f"`{operation.partition(' ')[2]}`" in TEXT


@pytest.mark.parametrize("operation", OF_A_TENANT)
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
    names = {getattr(field.kwarg_definition, "name", None) or name for name, field in taken.items()}
    assert set(queries) <= names


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
    pages = [
        found
        for module in (resources, administration, contracts)
        for name, found in vars(module).items()
        if "Page" in name
    ]
    assert len(pages) == 10
    for page in pages:
        assert page.__struct_fields__ == ("items", "next_cursor")
