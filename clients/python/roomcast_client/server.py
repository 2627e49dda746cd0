"""The REST API for a tenant's own servers, with asyncio. `sync_server` has its twin; a test holds the two together."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, overload

import httpx

from roomcast_client import requests, resources
from roomcast_client.contract import MessageT, RoomContract, untyped
from roomcast_client.errors import RateLimited, RoomcastError, Unavailable
from roomcast_client.events import HistoryEvent, Member
from roomcast_client.requests import AnswerT, Request
from roomcast_client.returning import Backoff

PAGE_ITEMS: Final = 1000
UNTYPED: Final = untyped()


class Server:
    """With an API key; `async with` it, or `close` it. All methods raise RoomcastError by the wire's codes.

    url: as https://example.com. api_key: `rck_…`, never logged. retries: how often what is refused for the moment, or
    gets no answer, is tried again, if that is safe (a publish is, by its key). timeout_seconds: of one try.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        retries: int = 3,
        backoff: Backoff | None = None,
        timeout_seconds: float = 10.0,
    ) -> None:
        headers = {"Authorization": f"Bearer {api_key}"}
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=timeout_seconds)
        self._retries = retries
        self._backoff = backoff or Backoff()

    async def __aenter__(self) -> "Server":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    # Rooms

    async def counts(self) -> resources.Counts:
        """How many connections, users and occupied rooms there are, right within 2 s."""
        return await self._ask(requests.counts())

    async def rooms(self, *, prefix: str = "") -> AsyncIterator[resources.RoomSummary]:
        """The occupied rooms, as they are asked for page by page."""
        cursor: str | None = None
        while True:
            page = await self._ask(requests.rooms(prefix, cursor, PAGE_ITEMS))
            for item in page.items:
                yield item
            cursor = page.next_cursor
            if cursor is None:
                return

    async def room(self, room: str) -> resources.RoomDetail:
        """One room; NotFound if it was never seen."""
        return await self._ask(requests.room(room))

    async def members(self, room: str) -> AsyncIterator[Member[Any]]:
        """Who is in a room, page by page."""
        cursor: str | None = None
        while True:
            page = await self._ask(requests.members(room, cursor, PAGE_ITEMS))
            for member in page.members:
                yield member
            if not isinstance(page.next_cursor, str):
                return
            cursor = page.next_cursor

    async def remove_member(self, room: str, user: str) -> None:
        """Put a user's connections out of a room."""
        await self._ask(requests.remove_member(room, user))

    # Messages

    async def publish(
        self,
        room: str,
        message: MessageT,
        *,
        contract: RoomContract[MessageT, Any, Any] = UNTYPED,
        name: str | None = None,
        key: str | None = None,
        exclude: Sequence[str] = (),
    ) -> resources.PublishAnswer:
        """Publish; once, however often it is tried. exclude: connections that do not get it."""
        return await self._ask(requests.publish(room, message, contract, name, key, exclude))

    async def publish_batch(self, messages: Sequence[resources.BatchMessage]) -> list[resources.BatchResult]:
        """Publish up to 1,000 messages (`batch_message`) in order; each result says what became of one."""
        return (await self._ask(requests.publish_batch(messages))).results

    @overload
    async def history(
        self, room: str, *, since: str | None = ..., before: str | None = ..., limit: int = ...
    ) -> HistoryEvent[Any]: ...
    @overload
    async def history(
        self,
        room: str,
        *,
        contract: RoomContract[MessageT, Any, Any],
        since: str | None = ...,
        before: str | None = ...,
        limit: int = ...,
    ) -> HistoryEvent[MessageT]: ...
    async def history(
        self,
        room: str,
        *,
        contract: RoomContract[Any, Any, Any] = UNTYPED,
        since: str | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> HistoryEvent[Any]:
        """A page of what is kept, ascending; the bounds are left out."""
        page: HistoryEvent[Any] = await self._ask(requests.history(room, since, before, limit))
        for item in page.messages:
            item.data = contract.messages.decode(item.name, item.data)
        return page

    async def forget_history(self, room: str) -> None:
        """Forget what is kept; a new epoch begins."""
        await self._ask(requests.forget_history(room))

    # Users

    async def user(self, user: str) -> resources.UserDetail:
        """Where a user is now."""
        return await self._ask(requests.user(user))

    async def send(self, user: str, data: Any, *, name: str | None = None) -> None:
        """Send to all connections of a user, at most once."""
        await self._ask(requests.send(user, data, name))

    async def disconnect_user(self, user: str, *, reconnect: bool = False) -> None:
        """Close a user's connections (4409); whether their clients come back is told to them."""
        await self._ask(requests.disconnect_user(user, reconnect))

    async def connections(self) -> AsyncIterator[resources.ConnectionDetail]:
        """All live sockets, page by page."""
        cursor: str | None = None
        while True:
            page = await self._ask(requests.connections(cursor, PAGE_ITEMS))
            for item in page.items:
                yield item
            cursor = page.next_cursor
            if cursor is None:
                return

    async def connection(self, connection: str) -> resources.ConnectionDetail:
        """One live socket."""
        return await self._ask(requests.connection(connection))

    async def disconnect(self, connection: str) -> None:
        """Close one socket (4409)."""
        await self._ask(requests.disconnect(connection))

    # Tokens

    async def token(
        self,
        user: str,
        *,
        rooms: Mapping[str, Sequence[str]] | None = None,
        join: Sequence[str] | None = None,
        send: bool | None = None,
        info: Any = None,
        ttl_seconds: int | None = None,
    ) -> resources.TokenAnswer:
        """A token for a user. rooms: pattern to verbs, as {"chat:*": ["join", "publish"]}; info: shown to others."""
        return await self._ask(requests.token(user, rooms, join, send, info, ttl_seconds))

    async def revoke(self, *, user: str | None = None, jti: str | None = None, until_at_ms: int) -> None:
        """Refuse a user's tokens, or one, until an instant; their sockets are closed (4401)."""
        await self._ask(requests.revoke(user, jti, until_at_ms))

    async def _ask(self, request: Request[AnswerT]) -> AnswerT:
        tries = 0
        while True:
            try:
                return await self._try(request)
            except RoomcastError as error:
                is_safe = request.repeats or isinstance(error, RateLimited)
                if not (error.is_temporary and is_safe and tries < self._retries):
                    raise
                pause = self._backoff.delay(tries) if error.retry_after_ms is None else error.retry_after_ms / 1000
            await asyncio.sleep(pause)
            tries += 1

    async def _try(self, request: Request[AnswerT]) -> AnswerT:
        headers = {} if request.body is None else {"Content-Type": "application/json"}
        try:
            answer = await self._http.request(
                request.method, request.path, params=request.params, content=request.content, headers=headers
            )
        except httpx.TransportError as error:
            raise Unavailable(f"no answer, the outcome is unknown: {type(error).__name__}") from None
        return request.read(answer.status_code, answer.content)
