"""The REST API as requests: one function a route, for `Server` and `SyncServer` alike. Pure.

The law: a request that `repeats` may reach the server twice; a publish does, as it has a key.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import UNSET, Raw, UnsetType

from roomcast_client import resources
from roomcast_client.contract import RoomContract, encode
from roomcast_client.errors import RoomcastError, from_problem
from roomcast_client.events import HistoryEvent, MembersEvent

AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True)
class Request(Generic[AnswerT]):
    """One request; `answer` is the type of the body that a success has, None for none."""

    method: str
    path: str
    answer: Any = None
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    repeats: bool = True

    @property
    def params(self) -> dict[str, str]:
        """The query as texts, without what is None."""
        texts = {name: value for name, value in self.query.items() if value is not None}
        return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in texts.items()}

    @property
    def content(self) -> bytes | None:
        """The body's JSON."""
        return None if self.body is None else msgspec.json.encode(self.body)

    def read(self, status: int, content: bytes) -> AnswerT:
        """The answer. Raises RoomcastError."""
        if status >= 300:
            raise from_problem(status, content)
        try:
            answer: AnswerT = msgspec.json.decode(content, type=self.answer) if self.answer is not None else None  # type: ignore[assignment]
        except msgspec.MsgspecError as error:
            raise RoomcastError(f"an answer that can't be read: {error}", code="internal", status=status) from None
        return answer


def counts() -> Request[resources.Counts]:
    """GET /v1/counts."""
    return Request("GET", "/v1/counts", resources.Counts)


def rooms(prefix: str, cursor: str | None, limit: int) -> Request[resources.RoomPage]:
    """GET /v1/rooms."""
    query = {"prefix": prefix or None, "cursor": cursor, "limit": limit}
    return Request("GET", "/v1/rooms", resources.RoomPage, query)


def room(name: str) -> Request[resources.RoomDetail]:
    """GET /v1/rooms/{room}."""
    return Request("GET", _path("rooms", name), resources.RoomDetail)


def members(name: str, cursor: str | None, limit: int) -> Request[MembersEvent[Any]]:
    """GET /v1/rooms/{room}/members."""
    query = {"cursor": cursor, "limit": limit}
    return Request("GET", _path("rooms", name, "members"), MembersEvent[Any], query)


def remove_member(name: str, user: str) -> Request[None]:
    """DELETE /v1/rooms/{room}/members/{user}."""
    return Request("DELETE", _path("rooms", name, "members", user))


def history(name: str, since: str | None, before: str | None, limit: int) -> Request[HistoryEvent[Raw]]:
    """GET /v1/rooms/{room}/messages."""
    query = {"since": since, "before": before, "limit": limit}
    return Request("GET", _path("rooms", name, "messages"), HistoryEvent[Raw], query)


def publish(
    name: str,
    message: Any,
    contract: RoomContract[Any, Any, Any],
    message_name: str | None,
    key: str | None,
    exclude: Sequence[str],
) -> Request[resources.PublishAnswer]:
    """POST /v1/rooms/{room}/messages."""
    wire_name, data = contract.messages.encode(message, message_name)
    body = resources.PublishBody(
        name=wire_name, data=data, key=key or uuid.uuid4().hex, exclude=list(exclude) if exclude else UNSET
    )
    return Request("POST", _path("rooms", name, "messages"), resources.PublishAnswer, body=body)


def forget_history(name: str) -> Request[None]:
    """DELETE /v1/rooms/{room}/messages."""
    return Request("DELETE", _path("rooms", name, "messages"))


def publish_batch(messages: Sequence[resources.BatchMessage]) -> Request[resources.BatchAnswer]:
    """POST /v1/messages; each message that has no key gets one."""
    for message in messages:
        message.key = uuid.uuid4().hex if message.key is UNSET else message.key
    return Request("POST", "/v1/messages", resources.BatchAnswer, body=resources.BatchBody(messages=list(messages)))


def user(name: str) -> Request[resources.UserDetail]:
    """GET /v1/users/{user}."""
    return Request("GET", _path("users", name), resources.UserDetail)


def send(name: str, data: Any, message_name: str | None) -> Request[None]:
    """POST /v1/users/{user}/messages: at most once, so it is never repeated."""
    body = resources.DirectBody(data=encode(data), name=_or_unset(message_name))
    return Request("POST", _path("users", name, "messages"), body=body, repeats=False)


def disconnect_user(name: str, reconnect: bool) -> Request[None]:
    """DELETE /v1/users/{user}/connections."""
    return Request("DELETE", _path("users", name, "connections"), query={"reconnect": reconnect})


def connections(cursor: str | None, limit: int) -> Request[resources.ConnectionPage]:
    """GET /v1/connections."""
    return Request("GET", "/v1/connections", resources.ConnectionPage, {"cursor": cursor, "limit": limit})


def connection(name: str) -> Request[resources.ConnectionDetail]:
    """GET /v1/connections/{connection}."""
    return Request("GET", _path("connections", name), resources.ConnectionDetail)


def disconnect(name: str) -> Request[None]:
    """DELETE /v1/connections/{connection}."""
    return Request("DELETE", _path("connections", name), repeats=False)  # the second time it is not_found


def token(
    name: str,
    rooms: Mapping[str, Sequence[str]] | None,
    join: Sequence[str] | None,
    send: bool | None,
    info: Any,
    ttl_seconds: int | None,
) -> Request[resources.TokenAnswer]:
    """POST /v1/tokens."""
    body = resources.TokenBody(
        user=name,
        rooms=UNSET if rooms is None else rooms,
        join=UNSET if join is None else join,
        send=UNSET if send is None else send,
        info=UNSET if info is None else encode(info),
        ttl_seconds=UNSET if ttl_seconds is None else ttl_seconds,
    )
    return Request("POST", "/v1/tokens", resources.TokenAnswer, body=body)


def revoke(name: str | None, jti: str | None, until_at_ms: int) -> Request[None]:
    """POST /v1/revocations."""
    body = resources.RevocationBody(user=_or_unset(name), jti=_or_unset(jti), until_at_ms=until_at_ms)
    return Request("POST", "/v1/revocations", body=body)


def _path(*parts: str) -> str:
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def _or_unset(text: str | None) -> str | UnsetType:
    return UNSET if text is None else text
