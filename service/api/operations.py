"""How operations are declared."""

from typing import Any

from litestar import HttpMethod, route
from litestar.handlers import HTTPRouteHandler
from litestar.status_codes import HTTP_200_OK
from litestar.types import Method


def read(path: str = "", *, operation_id: str, summary: str, **options: Any) -> route:
    """Declare a handler of GET, and of HEAD as RFC 9110, section 9.1, wants it; the server leaves HEAD's body out."""

    def name(_: HTTPRouteHandler, method: Method | HttpMethod, __: object) -> str:
        return operation_id if method == HttpMethod.GET else f"{operation_id}Head"

    return route(
        path,
        http_method=[HttpMethod.GET, HttpMethod.HEAD],
        operation_id=name,
        summary=summary,
        status_code=HTTP_200_OK,
        **options,
    )
