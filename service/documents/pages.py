"""What `/schema` serves to anybody: the documents, and pages that show them without a request to any other host."""

import mimetypes
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any, Final

import msgspec
from litestar import Request, Response, get
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.params import FromPath

from service.documents.asyncapi import describe_protocol
from service.documents.asyncapi_page import render_page
from service.documents.openapi_3_0 import downgrade
from service.documents.plain import plain_document
from service.protocol.errors import NotFound

_ASYNCAPI_MEDIA_TYPE: Final = "application/vnd.aai.asyncapi+json"
_FOLDER: Final = resources.files("service.documents") / "static"
_NAMES: Final = frozenset({path.name for path in _FOLDER.iterdir() if path.name.endswith((".css", ".html", ".js"))})
# Nothing from elsewhere, and no other site's frame. Swagger UI writes style attributes, and draws with data: images.
_CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class _Derived(OpenAPIRenderPlugin):
    """A document made from the OpenAPI document; made once, as anybody may ask."""

    def __init__(self, path: str, media_type: Any, derive: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        super().__init__(path=path, media_type=media_type)
        self._derive = derive
        self._source: dict[str, Any] | None = None
        self._ready = b""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The document in JSON."""
        if self._source is not openapi_schema:
            document = self._derive(plain_document(request.app.openapi_schema))
            self._source, self._ready = openapi_schema, msgspec.json.encode(document)
        return self._ready


def _unchanged(document: dict[str, Any]) -> dict[str, Any]:
    return document


def _protocol(_: dict[str, Any]) -> dict[str, Any]:
    return describe_protocol()


def render_plugins() -> list[OpenAPIRenderPlugin]:
    """The three documents, for Litestar to serve below `/schema`."""
    media_type = JsonRenderPlugin().media_type
    return [
        _Derived("/openapi.json", media_type, _unchanged),
        _Derived("/openapi-3.0.json", media_type, downgrade),
        _Derived("/asyncapi.json", _ASYNCAPI_MEDIA_TYPE, _protocol),
    ]


@cache
def _static(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()


def page_handlers() -> list[HTTPRouteHandler]:
    """The pages, and what they load."""
    protocol = render_page(describe_protocol())

    @get("/openapi", sync_to_thread=False)
    def show_openapi() -> Response[bytes]:
        """REST, by Swagger UI."""
        return Response(_static("openapi.html"), media_type="text/html; charset=utf-8", headers=_HEADERS)

    @get("/asyncapi", sync_to_thread=False)
    def show_asyncapi() -> Response[bytes]:
        """The socket protocol."""
        return Response(protocol, media_type="text/html; charset=utf-8", headers=_HEADERS)

    @get("/static/{name:str}", sync_to_thread=False)
    def show_static(name: FromPath[str]) -> Response[bytes]:
        """A script or a style of the pages."""
        if name not in _NAMES:
            raise NotFound("path")
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(_static(name), media_type=kind, headers=_HEADERS)

    return [show_openapi, show_asyncapi, show_static]


_OPEN: Final = {
    f"/schema/{name}" for name in ("openapi.json", "openapi-3.0.json", "asyncapi.json", "openapi", "asyncapi")
}


async def only_what_is_there(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """A guard: Litestar answers all else below `/schema` with a page of HTML."""
    path = connection.scope["path"]
    if path not in _OPEN and not path.startswith("/schema/static/"):
        raise NotFound("path")
