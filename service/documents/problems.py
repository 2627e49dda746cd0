"""What an operation may be refused with: one response for each HTTP status of PROTOCOL.md's list of errors."""

from typing import Any, Final

from litestar.openapi.spec import OpenAPIHeader, OpenAPIMediaType, OpenAPIResponse, Operation, Reference, Schema
from litestar.openapi.spec.enums import OpenAPIType

from service.protocol.errors import ERROR_KINDS, ErrorCode

_MEDIA_TYPE: Final = "application/problem+json"
_ALWAYS: Final = (500, 503)
_WITH_CREDENTIALS: Final = (400, 401, 403, 429)
# Who sets something up may be late, or second; what is published may not fit the room type's schema.
_SETTERS: Final[tuple[dict[str, list[str]], ...]] = ({"apiKey": ["manage"]}, {"operatorToken": []})
_CHECKED_BY_SCHEMA: Final = ("publishMessage", "runCommand")


def problem_responses() -> dict[str, Any]:
    """The component `Problem<status>` for each status, with an example for each of its codes; `Problem` for any."""
    codes: dict[int, list[ErrorCode]] = {}
    for code, kind in ERROR_KINDS.items():
        codes.setdefault(kind.status, []).append(code)
    by_status = {f"Problem{status}": _response(status, found) for status, found in sorted(codes.items())}
    return {"Problem": OpenAPIResponse(description="Any other refusal.", content=_content()), **by_status}


def problem_statuses(operation: Operation) -> dict[str, Any]:
    """References to the refusals that this operation may answer with; `default` stands for the rare ones."""
    statuses = {*_ALWAYS}
    if operation.security:
        statuses.update(_WITH_CREDENTIALS)
    if any(getattr(parameter, "param_in", None) == "path" for parameter in operation.parameters or ()):
        statuses.add(404)
    if operation.request_body is not None:
        statuses.add(413)
        if any(choice in _SETTERS for choice in operation.security or ()):
            statuses.add(409)
    if (operation.operation_id or "").startswith(_CHECKED_BY_SCHEMA):
        statuses.add(422)
    references = {str(status): Reference(ref=f"#/components/responses/Problem{status}") for status in sorted(statuses)}
    return {**references, "default": Reference(ref="#/components/responses/Problem")}


def _response(status: int, codes: list[ErrorCode]) -> OpenAPIResponse:
    examples = {
        code: {
            "value": {
                "type": f"urn:roomcast:error:{code}",
                "title": ERROR_KINDS[code].title,
                "status": status,
                "detail": ERROR_KINDS[code].title,
            }
        }
        for code in codes
    }
    description = "; ".join(f"`{code}`: {ERROR_KINDS[code].title}" for code in codes)
    return OpenAPIResponse(description=description, content=_content(examples), headers=_headers(status))


def _content(examples: Any = None) -> dict[str, OpenAPIMediaType]:
    return {_MEDIA_TYPE: OpenAPIMediaType(schema=Reference(ref="#/components/schemas/Problem"), examples=examples)}


def _headers(status: int) -> Any:
    match status:
        case 401:
            return {"WWW-Authenticate": _header("How to authenticate: `Bearer`.", OpenAPIType.STRING)}
        case 429 | 503:
            return {"Retry-After": _header("Seconds to wait, where waiting helps.", OpenAPIType.INTEGER)}
        case _:
            return None


def _header(description: str, kind: OpenAPIType) -> OpenAPIHeader:
    return OpenAPIHeader(description=description, schema=Schema(type=kind))
