"""The OpenAPI 3.1 document: operations from Litestar's handlers, all schemas from the msgspec Structs.

Litestar's own schemas lose discriminators, docstrings, defaults and `additionalProperties: false`, so `finish_openapi`
puts msgspec's in their place. Generators prune what no operation refers to: both unions hang on POST /v1/commands.
"""

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from importlib.metadata import version
from types import NoneType
from typing import Any, Final, cast, get_args, get_origin

from litestar import Litestar, Response, Router
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import (
    Components,
    License,
    OpenAPI,
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    Parameter,
    RequestBody,
    Schema,
    SecurityScheme,
)
from litestar.openapi.spec.enums import OpenAPIType
from litestar.routes import HTTPRoute

from service.documents.examples import examples_by_struct
from service.documents.pages import only_what_is_there, page_handlers, render_plugins
from service.documents.problems import problem_responses, problem_statuses
from service.documents.schemas import component_schemas
from service.protocol.commands import WebSocketCommand
from service.protocol.errors import Problem
from service.protocol.events import WebSocketEvent

_OPERATORS_PATH: Final = "/v1/tenants"
_UNIONS: Final[dict[str, Any]] = {"WebSocketCommand": WebSocketCommand, "WebSocketEvent": WebSocketEvent}


OPENAPI_CONFIG: Final = OpenAPIConfig(
    title="Roomcast",
    version=version("roomcast"),
    summary="Rooms, messages and connections of one tenant, for its servers; and tenants, for the operator.",
    description=(
        "Send `Authorization: Bearer <API key>`; `POST /v1/commands` takes a user's token instead, and all below "
        "`/v1/tenants` and `/v1/nodes` the operator's, also for what a tenant's own servers do below `/v1`. Every "
        "failure is a `application/problem+json`. The two unions `WebSocketCommand` and `WebSocketEvent` are also what "
        "travels over `/v1/connect`, the WebSocket."
    ),
    license=License(name="MIT", identifier="MIT"),
    use_handler_docstrings=True,
    components=Components(
        security_schemes={
            "apiKey": SecurityScheme(
                type="http",
                scheme="bearer",
                description="An API key, `rck_…`; its scopes are read, publish, disconnect, manage.",
            ),
            "operatorToken": SecurityScheme(
                type="http",
                scheme="bearer",
                description="The operator's token, from `operator-token` of the data directory.",
            ),
            "userToken": SecurityScheme(
                type="http", scheme="bearer", bearer_format="JWT", description="A token of one of the tenant's users."
            ),
        }
    ),
    openapi_router=Router(
        "/schema", route_handlers=page_handlers(), include_in_schema=False, guards=[only_what_is_there]
    ),
    render_plugins=render_plugins(),
)


def finish_openapi(app: Litestar) -> OpenAPI:
    """Complete the document of `app`, for `plain_document`. Call once, when all routes are registered."""
    document = app.openapi_schema
    operations = list(_operations(app, document))
    for operation, _, path in operations:
        if path.startswith(_OPERATORS_PATH):
            operation.security = [{"operatorToken": []}]
        elif operation.security is None:
            operation.security = []  # said, not forgotten
    types = [body for _, handler, _ in operations for body in _bodies(handler) if body is not None]
    schemas, components = component_schemas([*types, Problem], _UNIONS)
    for name, examples in examples_by_struct().items():
        components[name]["examples"] = examples
    document.components.schemas = cast(Any, components)
    document.components.responses = problem_responses()
    ready = iter(schemas)
    for operation, handler, _ in operations:
        request, answer = (None if body is None else next(ready) for body in _bodies(handler))
        _finish_operation(operation, request, answer, handler.opt.get("also_answers", ()))
        if handler.opt.get("may_have_body"):
            cast(RequestBody, operation.request_body).required = False
    return document


def _finish_operation(operation: Operation, request: Any, answer: Any, also_answers: Iterable[str]) -> None:
    """Put msgspec's schemas into one operation, and the problems beside its answer, which may be other text too."""
    if isinstance(operation.request_body, RequestBody):
        operation.request_body.content = {"application/json": OpenAPIMediaType(schema=request)}
    content = None if answer is None else {"application/json": OpenAPIMediaType(schema=answer)}
    for media_type in also_answers:
        content = {**(content or {}), media_type: OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING))}
    successes = {
        status: OpenAPIResponse(description=HTTPStatus(int(status)).phrase, content=content)
        for status in operation.responses or {}
        if status.startswith("2")
    }
    operation.responses = {**successes, **problem_statuses(operation)}
    for parameter in operation.parameters or ():
        if isinstance(parameter, Parameter):
            parameter.schema = _shape_parameter(parameter.schema)


def _shape_parameter(schema: Any) -> Any:
    """A parameter that may be left out is not one that may be null, and an integer's bounds are integers."""
    kept = [choice for choice in schema.one_of or () if choice.type != "null"]
    shaped = kept[0] if len(kept) == 1 else schema
    shaped.format = shaped.format or schema.format
    if shaped.type == "integer":
        shaped.minimum, shaped.maximum = int(shaped.minimum), int(shaped.maximum)
    return shaped


def _operations(app: Litestar, document: OpenAPI) -> Iterator[tuple[Operation, HTTPRouteHandler, str]]:
    """Each documented operation with its handler and path; HEAD goes without saying, and is taken out."""
    for route in app.routes:
        item = (document.paths or {}).get(route.path_format)
        if isinstance(route, HTTPRoute) and item is not None:
            item.head = None
            for method, (handler, _) in route.route_handler_map.items():
                if (operation := getattr(item, method.lower())) is not None:
                    yield operation, handler, route.path_format


def _bodies(handler: HTTPRouteHandler) -> tuple[Any, Any]:
    """The types of what a handler takes and of what it answers; None for no body."""
    data = handler.parsed_data_field
    answer = handler.parsed_return_field.annotation
    if get_origin(answer) is Response:
        answer = get_args(answer)[0]
    return None if data is None else data.annotation, None if answer in (None, NoneType) else answer
