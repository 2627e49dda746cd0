"""Headers that a request's answer carries whether it succeeds or is refused."""

from collections.abc import Mapping
from typing import Any

from litestar.connection import ASGIConnection

_KEY = "roomcast_answer_headers"


def set_answer_headers(connection: ASGIConnection[Any, Any, Any, Any], headers: Mapping[str, str]) -> None:
    """Have the answer to this request carry `headers`, refusals included."""
    connection.state[_KEY] = headers


def answer_headers(connection: ASGIConnection[Any, Any, Any, Any]) -> Mapping[str, str]:
    """What `set_answer_headers` was given, else nothing."""
    headers: Mapping[str, str] = connection.state.get(_KEY, {})
    return headers
