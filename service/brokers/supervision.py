"""Keeps the parts of a node's work on Redis running, whatever they meet."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

from service import telemetry
from service.brokers.link import jittered
from service.protocol.errors import RoomcastError

AGAIN_SECONDS: Final = 0.05

log = structlog.get_logger()


async def supervise(part: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a part of the listener for ever; what it raises is logged, and it begins again."""
    while True:
        try:
            await part()
            return
        except RoomcastError as error:  # Redis was lost: `_keep_connected` says so
            log.info("a command to Redis failed", reason=part.__name__, error=str(error))
        except Exception:
            telemetry.counters.faults += 1
            log.exception("a part of the Redis listener failed", reason=part.__name__)
        await asyncio.sleep(jittered(AGAIN_SECONDS))
