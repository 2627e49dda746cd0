"""The OpenAPI document as plain JSON values."""

from typing import Any, cast

import msgspec
from litestar.openapi.spec import OpenAPI
from litestar.serialization import encode_json


def plain_document(document: OpenAPI) -> dict[str, Any]:
    """What `finish_openapi` completed. Litestar leaves out every null, also one that is an example's or a default."""
    plain: dict[str, Any] = msgspec.json.decode(encode_json(document.to_schema()))
    plain["components"]["schemas"] = cast(Any, document.components).schemas
    return plain
