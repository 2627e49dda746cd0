"""Requests read to the letter: bodies without coercion and up to a limit, queries without strangers, paths as sent.

Litestar alone takes "12" for 12, ignores a mistyped `?curser=`, and reads `/v1/rooms/a%2Fmessages` as
`/v1/rooms/a/messages`.
"""

import asyncio
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.dto import AbstractDTO
from litestar.dto.data_structures import DTOFieldDefinition
from litestar.handlers import BaseRouteHandler
from litestar.openapi.spec import Reference, Schema
from litestar.params import QueryParameter
from litestar.typing import FieldDefinition

from service.protocol.codec import refusal
from service.protocol.errors import Invalid, Malformed, NotFound, TooLarge
from service.protocol.json_values import check_depth, check_numbers, check_text, may_hold_big_numbers

# A body of 8 MiB is here within this time at 2.2 Mbit/s; a drip of one byte a second holds a socket no longer.
BODY_TIMEOUT_SECONDS: Final = 30
# What goes beyond a limit is still read this far, and thrown away, before it is refused: a client that is cut off
# while it sends sees a broken connection, and not the answer.
_DRAINED_BYTES: Final = 8 * 1024 * 1024
_LOOKED_AT_BYTES: Final = 256 * 1024
_BODY_LIMIT: Final = "roomcast_body_limit_bytes"
_BODY_RECEIVED: Final = "roomcast_body_received"


# Bodies


def limit_body(connection: ASGIConnection[Any, Any, Any, Any], max_bytes: int | None) -> None:
    """How large the body of this request may be, in bytes; None: no limit. Without this call there is no body."""
    connection.state[_BODY_LIMIT] = max_bytes


class StrictRequest(Request[Any, Any, State]):
    """A request whose body is read once, up to `limit_body`, so that memory is bounded whatever is sent."""

    async def body(self) -> bytes:
        """The whole body. Raises TooLarge (`max_frame_bytes`), Malformed if it is empty, Invalid if it stays out.

        It may be empty where the operation says `may_have_body`: then its `data` keeps its default.
        """
        max_bytes: int | None = self.state.get(_BODY_LIMIT, 0)
        declared = self.headers.get("content-length", "")
        if max_bytes is not None and declared.isdecimal() and int(declared[:20]) > max_bytes + _DRAINED_BYTES:
            raise TooLarge("max_frame_bytes", max_bytes)
        try:
            async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
                whole = await self._receive_whole(max_bytes)
        except TimeoutError:
            raise Invalid(f"the body did not arrive within {BODY_TIMEOUT_SECONDS} seconds") from None
        if not whole and not self.route_handler.opt.get("may_have_body"):
            raise Malformed("the body is empty")
        return whole

    async def _receive_whole(self, max_bytes: int | None) -> bytes:
        whole = bytearray()
        received_bytes = 0
        while True:
            event = await self.receive()
            if event["type"] != "http.request":
                raise Invalid("the body ended early")
            received_bytes += len(event["body"])
            if max_bytes is None or received_bytes <= max_bytes:
                whole += event["body"]
            elif received_bytes > max_bytes + _DRAINED_BYTES:
                raise TooLarge("max_frame_bytes", max_bytes)
            if not event["more_body"]:
                self.state[_BODY_RECEIVED] = True
                break
        if max_bytes is not None and received_bytes > max_bytes:
            raise TooLarge("max_frame_bytes", max_bytes)
        return bytes(whole)


def leaves_body_unread(request: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Whether a body may still be coming: then the answer ends the connection, or the client could send for ever."""
    has_body = "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"
    return has_body and not request.state.get(_BODY_RECEIVED, False)


class StrictBody(AbstractDTO[Any]):
    """Decodes a body by msgspec's strict rules; the schema in the OpenAPI document stays the annotation's own.

    With `checks_values` off, the handler checks each Raw: of a large body that takes longer than a loop turn may.
    """

    checks_values: ClassVar[bool] = True

    _decoders: ClassVar[dict[str, msgspec.json.Decoder[Any]]] = {}

    def decode_bytes(self, value: bytes) -> Any:
        """The body as its Struct. Raises Malformed or Invalid, with `path`."""
        connection = self.asgi_connection
        check_content_type(connection)
        decoder = self._decoders[connection.route_handler.handler_id]
        return decode_body(decoder, value, checks_values=self.checks_values)

    @classmethod
    def create_for_field_definition(
        cls, field_definition: FieldDefinition, handler_id: str, backend_cls: type[Any] | None = None
    ) -> None:
        """Make the one decoder of a handler's `data`."""
        cls._decoders[handler_id] = msgspec.json.Decoder(field_definition.raw)

    @classmethod
    def create_openapi_schema(
        cls, field_definition: FieldDefinition, handler_id: str, schema_creator: Any
    ) -> Reference | Schema:
        """The annotation's own schema."""
        schema: Reference | Schema = schema_creator.for_field_definition(field_definition)
        return schema

    @classmethod
    def is_supported_model_type_field(cls, field_definition: FieldDefinition) -> bool:
        """Every type that msgspec decodes."""
        return True

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
        """Nothing is nested: msgspec decodes it whole."""
        return False

    @classmethod
    def generate_field_definitions(cls, model_type: type[Any]) -> Iterator[DTOFieldDefinition]:  # type: ignore[override]
        """None: fields are msgspec's business."""
        yield from ()


def check_content_type(connection: ASGIConnection[Any, Any, Any, Any]) -> None:
    """Raise Invalid unless the body says that it is JSON in UTF-8 (RFC 8259 has no other encoding)."""
    media_type, _, parameters = connection.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if media_type.strip().lower() != "application/json" or charset not in ("", "utf-8"):
        raise Invalid("the body must be sent as Content-Type: application/json")


def decode_body(decoder: msgspec.json.Decoder[Any], body: bytes, *, checks_values: bool = True) -> Any:
    """One JSON value as the decoder's type, each Raw in it checked, ready to travel. Raises Malformed or Invalid."""
    check_text(body)
    try:
        value = decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # A look at the whole body finds the better reason; of 8 MiB it takes 0.2 s, and the error alone must do.
        looked_at = body if len(body) <= _LOOKED_AT_BYTES else b"{}"
        raise refusal(looked_at, False, error) from None
    if not checks_values:
        return value
    check_depth(body)
    if may_hold_big_numbers(body):
        for path, raw in _raws(value, "$"):
            check_numbers(bytes(raw), path)
    return value


def _raws(value: Any, path: str) -> Iterator[tuple[str, msgspec.Raw]]:
    """Each Raw within Structs and lists, with its path."""
    if isinstance(value, msgspec.Raw):
        yield path, value
    elif isinstance(value, msgspec.Struct):
        for field in msgspec.structs.fields(value):
            yield from _raws(getattr(value, field.name), f"{path}.{field.encode_name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _raws(item, f"{path}[{index}]")


# Paths and queries


def check_address(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard: no part of the path is empty or hides a slash, no parameter of the query is unknown or there twice."""
    if isinstance(connection, Request) and connection.method == "OPTIONS":
        return  # it does nothing, and is asked with the query of another method
    raw_path = connection.scope["raw_path"].partition(b"?")[0]
    # The router merges `//`, drops a last `/` and sees `%2F` as `/`: each would find another resource than was meant.
    if b"//" in raw_path or raw_path.endswith(b"/") or b"%2f" in raw_path.lower():
        raise NotFound("path")
    try:
        unquote_to_bytes(raw_path).decode()
        query = parse_qsl(
            connection.scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=32
        )
    except ValueError:
        raise Invalid("the path or the query can't be read as UTF-8") from None
    names = [name for name, _ in query]
    known = _query_parameters(handler)
    for name in names:
        if name not in known:
            raise Invalid(f"this operation has the query parameters: {', '.join(sorted(known)) or 'none'}")
        if names.count(name) > 1:
            raise Invalid("given more than once", f"$.{name}")


@lru_cache(maxsize=256)
def _query_parameters(handler: BaseRouteHandler) -> frozenset[str]:
    return frozenset(
        field.kwarg_definition.name or name
        for name, field in handler.parsed_fn_signature.parameters.items()
        if isinstance(field.kwarg_definition, QueryParameter)
    )
