"""`/console`: the page that ships inside the wheel. It asks for nothing but these files and the REST API.

Built from console/ into static/, under fixed names; the browser keeps them and asks each time whether they changed.
"""

import gzip
import hashlib
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

from litestar import Controller, HttpMethod, Request, Response, route
from litestar.params import PathParameter

from service.protocol.errors import NotFound

_FOLDER: Final = Path(__file__).parent / "static"
_MEDIA_TYPES: Final = {
    "index.html": "text/html",
    "console.js": "text/javascript",
    "console.css": "text/css",
    "icon.svg": "image/svg+xml",
}
_METHODS: Final = [HttpMethod.GET, HttpMethod.HEAD]
_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}


FileInPath = Annotated[str, PathParameter(description="A file's name.")]


class File(NamedTuple):
    """One file of the page, ready to be sent. tag: an entity tag of its content, without quotes."""

    media_type: str
    content: bytes
    zipped: bytes
    tag: str


@cache
def read_file(name: str) -> File:
    """A file of the page, read and zipped once a process. Raises NotFound for what is none."""
    if name not in _MEDIA_TYPES:
        raise NotFound("path")
    content = (_FOLDER / name).read_bytes()
    zipped = gzip.compress(content, compresslevel=9, mtime=0)
    return File(_MEDIA_TYPES[name], content, zipped, hashlib.sha256(content).hexdigest()[:32])


class ConsoleController(Controller):
    """`/console`: open to all, as it holds nothing; what it shows comes by the API, for whoever signs in."""

    path = "/console"
    include_in_schema = False

    @route("/", http_method=_METHODS, status_code=200)
    async def read_page(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """The page itself."""
        return _answer(request, read_file("index.html"))

    @route("/{name:str}", http_method=_METHODS, status_code=200)
    async def read_part(self, request: Request[Any, Any, Any], name: FileInPath) -> Response[bytes]:
        """One of its files."""
        return _answer(request, read_file(name))


def _answer(request: Request[Any, Any, Any], file: File) -> Response[bytes]:
    """The file, or 304 when the browser has it (RFC 9110, section 13.1.2)."""
    takes_gzip = "gzip" in request.headers.get("accept-encoding", "")
    tag = f'"{file.tag}{"-gzip" * takes_gzip}"'
    headers = {**_HEADERS, "ETag": tag}
    known = request.headers.get("if-none-match", "")
    if tag in [each.strip().removeprefix("W/") for each in known.split(",")]:
        return Response(b"", status_code=304, headers=headers)
    if takes_gzip:
        headers["Content-Encoding"] = "gzip"
    return Response(file.zipped if takes_gzip else file.content, media_type=file.media_type, headers=headers)
