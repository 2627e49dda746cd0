"""The token of the moment, and where a new one comes from."""

import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Final

# A token that ends within this is not worth a connection; the two clocks may differ, and a 401 tells it anyway.
MARGIN_SECONDS: Final = 5.0

GetToken = Callable[[], Awaitable[str] | str]


class Tokens:
    """Keeps a token until it ends or is refused, so that a reconnect needs no new one."""

    def __init__(self, get_token: GetToken) -> None:
        self._get_token = get_token
        self._token: str | None = None
        self._expires_at = 0.0

    async def current(self) -> str:
        """The token in force, or a new one. Raises what `get_token` raises."""
        if self._token is None or time.time() > self._expires_at - MARGIN_SECONDS:
            return await self.new()
        return self._token

    async def new(self) -> str:
        """A new one."""
        found = self._get_token()
        self._token = await found if inspect.isawaitable(found) else str(found)
        self._expires_at = float("inf")  # until the server says when
        return self._token

    def accepted(self, expires_at_ms: int) -> None:
        """The server took it, and says when it ends."""
        self._expires_at = expires_at_ms / 1000

    def refused(self) -> None:
        """It is not good any more."""
        self._token = None
