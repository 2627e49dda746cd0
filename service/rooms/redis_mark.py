"""Keeps in SQL how far the data in Redis has come (`brokers/pulse.py`), for the time when no node lives to know it."""

import asyncio
from typing import Final, Protocol

import structlog

from service.protocol.errors import Unavailable

SAVE_SECONDS: Final = 15.0

log = structlog.get_logger()


class Marked(Protocol):
    """The broker, as far as this needs it."""

    @property
    def mark(self) -> tuple[int, int]:
        """How far the data has come; the higher tuple is the later one."""


class KeptMark(Protocol):
    """Where the mark is kept (`tenants.redis_mark`)."""

    async def note(self, mark: tuple[int, int]) -> None:
        """Keep a mark, unless a higher one is kept. Raises Unavailable."""


async def keep_mark(broker: Marked, kept: KeptMark) -> None:
    """Save the mark, until cancelled."""
    while True:
        await asyncio.sleep(SAVE_SECONDS)
        await save_mark(broker, kept)


async def save_mark(broker: Marked, kept: KeptMark) -> None:
    """Save the mark, if SQL takes it now; the next one says more."""
    try:
        await kept.note(broker.mark)
    except Unavailable as error:
        log.info("how far Redis has come is saved later", reason=error.message)
