"""Every failure of a request as `application/problem+json` (RFC 9457), with PROTOCOL.md's one list of codes."""

from http import HTTPStatus
from typing import Any, Final

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap, Scope

from service.api.answers import answer_headers
from service.api.guards import tenant_name_of
from service.api.strict import leaves_body_unread
from service.protocol.errors import (
    Internal,
    Invalid,
    NotFound,
    Problem,
    RoomcastError,
    problem,
)
from service.telemetry import count_refusal, counters, new_incident

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"

_REFUSAL: Final = "roomcast_refusal"

log = structlog.get_logger()


class NotAllowed(RoomcastError):
    """The path has no such method."""

    def __init__(self, method: str) -> None:
        super().__init__("not_allowed", f"this path does not answer {method}")


def refuse(request: Request[Any, Any, Any], error: RoomcastError) -> Response[Problem]:
    """The answer to a refused request; counted by its code."""
    count_refusal(error.code)
    request.state[_REFUSAL] = error.code
    headers = dict(answer_headers(request))
    if error.code == "unauthenticated":
        headers["WWW-Authenticate"] = "Bearer"  # RFC 6750, section 3
    if error.retry_after_ms is not None:
        headers["Retry-After"] = str(-(-error.retry_after_ms // 1000))  # whole seconds (RFC 9110, section 10.2.3)
    if leaves_body_unread(request):
        headers["Connection"] = "close"
    body = problem(error)
    return Response(body, status_code=body.status, media_type=PROBLEM_MEDIA_TYPE, headers=headers)


def refusal_in(scope: Scope) -> str | None:
    """The code with which a request was refused."""
    code: str | None = scope["state"].get(_REFUSAL)
    return code


def refuse_bug(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """`internal` for what nobody foresaw: the log has the traceback, the answer only the incident."""
    return refuse(request, note_bug(error, request.scope["path"], tenant_name_of(request)))


def note_bug(error: BaseException, path: str, tenant: str | None) -> Internal:
    """Log an exception that nobody foresaw under a new incident, and give back what the asker may see of it."""
    incident = new_incident()
    counters.faults += 1
    log.error("a request failed", incident=incident, code="internal", path=path, tenant=tenant, exc_info=error)
    return Internal(incident)


def refuse_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    """What the framework refuses by itself, in our words: its own text may repeat what was sent."""
    status = error.status_code
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return refuse_bug(request, error)
    answer = refuse(request, _translate(request, error))
    if status == HTTPStatus.METHOD_NOT_ALLOWED and error.headers:
        methods = error.headers.get("allow", "").split(", ")
        answer.headers["Allow"] = ", ".join(sorted(methods))  # RFC 9110, section 15.5.6
    return answer


def _translate(request: Request[Any, Any, Any], error: HTTPException) -> RoomcastError:
    if isinstance(error, ValidationException):
        return _first_violation(error)
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            return NotFound("path")
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return NotAllowed(request.method)
        case _:
            return Invalid("the request can't be read")


def _first_violation(error: ValidationException) -> Invalid:
    """The first field of the query or path that does not fit; msgspec's sentence never holds the value."""
    violations = error.extra if isinstance(error.extra, list) else []
    for violation in violations:
        if isinstance(violation, dict) and "message" in violation:
            return Invalid(violation["message"], f"$.{violation['key']}" if "key" in violation else "$")
    return Invalid("the request does not fit its type")


EXCEPTION_HANDLERS: Final[ExceptionHandlersMap] = {
    RoomcastError: refuse,
    HTTPException: refuse_http,
    Exception: refuse_bug,
}
