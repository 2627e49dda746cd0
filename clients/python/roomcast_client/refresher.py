"""A new token before the old one ends, on the same connection."""

import asyncio
import logging
from typing import Final

from roomcast_client import commands
from roomcast_client.events import Authenticated
from roomcast_client.exchange import Exchange
from roomcast_client.returning import Backoff
from roomcast_client.tokens import Tokens

log = logging.getLogger(__name__)

# Of tokens so short that the server calls each of them expiring at once, the next is fetched at half of their life.
JUST_REFRESHED_SECONDS: Final = 5.0


class Refresher:
    """Acts on `expiring`. If it fails, the old token is in force until it ends; a new connection gets a new one."""

    def __init__(self, tokens: Tokens, exchange: Exchange, backoff: Backoff) -> None:
        self._tokens = tokens
        self._exchange = exchange
        self._backoff = backoff
        self._task: asyncio.Task[None] | None = None
        self._in_seconds: float | None = None  # not acted on yet
        self._refreshed_at = float("-inf")

    def expiring(self, in_seconds: float) -> None:
        """The server says that the token ends."""
        self._in_seconds = in_seconds
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._refresh())

    def stop(self) -> None:
        """The connection has ended."""
        if self._task is not None:
            self._task.cancel()

    async def _refresh(self) -> None:
        while self._in_seconds is not None:
            in_seconds, self._in_seconds = self._in_seconds, None
            await self._refresh_once(in_seconds)

    async def _refresh_once(self, in_seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - self._refreshed_at < JUST_REFRESHED_SECONDS:
            await asyncio.sleep(in_seconds / 2)
        tries = 0
        while True:
            try:
                command = commands.Authenticate(token=await self._tokens.new())
                answer = await self._exchange.ask(command, Authenticated, repeats=False, waits=False, rank=0)
            except Exception as error:
                log.warning("the token could not be refreshed: %s", type(error).__name__)
                self._tokens.refused()
                await asyncio.sleep(self._backoff.delay(tries))
                tries += 1
            else:
                self._tokens.accepted(answer.expires_at_ms)
                self._refreshed_at = loop.time()
                return
