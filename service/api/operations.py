"""How operations are declared."""

from typing import Any, Final

from litestar import HttpMethod, route
from litestar.handlers import HTTPRouteHandler
from litestar.status_codes import HTTP_200_OK
from litestar.types import Method, OperationIDCreator
from litestar.types.internal_types import PathParameterDefinition

# What the operator may do for one tenant stands below this path, beside the same at `/v1` by the tenant's own key.
TENANT_PATH: Final = "/v1/tenants/{tenant:str}"
_DEPTH: Final = 3  # of TENANT_PATH's parts


def named(operation_id: str) -> OperationIDCreator:
    """The operation's id: as it stands at `/v1`, with `ForTenant` at the operator's path, with `Head` for HEAD."""

    def name(_: HTTPRouteHandler, method: Method | HttpMethod, path: list[str | PathParameterDefinition]) -> str:
        at_the_operators = path[1:2] == ["tenants"] and len(path) > _DEPTH
        return f"{operation_id}{'ForTenant' * at_the_operators}{'Head' * (method == HttpMethod.HEAD)}"

    return name


def read(path: str = "", *, operation_id: str, summary: str, **options: Any) -> route:
    """Declare a handler of GET, and of HEAD as RFC 9110, section 9.1, wants it; the server leaves HEAD's body out."""
    return route(
        path,
        http_method=[HttpMethod.GET, HttpMethod.HEAD],
        operation_id=named(operation_id),
        summary=summary,
        status_code=HTTP_200_OK,
        **options,
    )
