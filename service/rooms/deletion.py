"""What is left of deleted tenants: one node at a time removes it from Redis and SQL, in slices, and another goes on."""

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

import structlog

from service.brokers.broker import Broker
from service.protocol.errors import Unavailable
from service.telemetry import counters, new_incident
from service.tenants.records import Deletion

log = structlog.get_logger()

POLL_SECONDS = 2.0
# Nodes know of a deletion within 2 s, its sockets are closed 1 s later and its rooms let go after 5 s more: what is
# removed then does not come back.
SETTLE_SECONDS = 8.0
# A node that said nothing for so long has died at it: another goes on.
CLAIM_SECONDS = 30.0
PROGRESS_SECONDS = 1.0
# A slice takes 0.4 ms of Redis: a seventh of it, and a million keys are looked at in 3 s.
SLICE_PAUSE_SECONDS = 0.002
USAGE_ROWS = 500


class Deletions(Protocol):
    """Where deletions stand (`tenants.storage`); each raises Unavailable."""

    async def pending(self) -> Sequence[Deletion]:
        """Those that are not finished."""

    async def claim(self, tenant_id: str, node: str, until_at_ms: int) -> bool:
        """Whether it is this node's until then; again to prolong it."""

    async def note_progress(self, tenant_id: str, removed_keys: int) -> None:
        """So many more keys are gone."""

    async def finish(self, tenant_id: str) -> None:
        """Nothing is left."""


class UsageRows(Protocol):
    """A tenant's usage in SQL (`tenants.usage`)."""

    async def remove(self, tenant_id: str, most: int) -> int:
        """Remove at most so many rows; how many there were, 0: none is left. Raises Unavailable."""


class Deleter:
    """This node's part in it. Nothing needs to be undone: to remove again what is gone changes nothing."""

    def __init__(self, node: str, broker: Broker, deletions: Deletions, usage: UsageRows) -> None:
        self._node = node
        self._broker = broker
        self._deletions = deletions
        self._usage = usage
        self._seen_at: dict[str, float] = {}  # monotonic, so that no clock of another node counts

    async def keep_deleting(self) -> None:
        """Look for deleted tenants and remove what is left of them, until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.look()
            except Unavailable:
                pass  # the tenants' cache says so, once
            except Exception:  # a mistake in what nobody waits for must not end the node
                counters.faults += 1
                log.exception("the removal of deleted tenants failed", incident=new_incident())

    async def look(self) -> None:
        """One look: go once through all that is known for long enough and no other node's. What nothing is left of is
        finished. Raises Unavailable when SQL does not tell which there are.
        """
        pending = await self._deletions.pending()
        now = time.monotonic()
        self._seen_at = {each.tenant_id: self._seen_at.get(each.tenant_id, now) for each in pending}
        for deletion in pending:
            if now - self._seen_at[deletion.tenant_id] >= SETTLE_SECONDS and not self._is_others(deletion):
                try:
                    await self._remove(deletion)
                except Unavailable as error:
                    log.info("a deleted tenant is removed later", tenant=deletion.name, reason=error.message)

    def _is_others(self, deletion: Deletion) -> bool:
        if deletion.claimed_by in (None, self._node):
            return False
        return (deletion.claimed_until_ms or 0) > _now_ms()

    async def _remove(self, deletion: Deletion) -> None:
        tenant_id = deletion.tenant_id
        if not await self._claim(tenant_id) or await self._pass(tenant_id) != 0:
            # The next look goes through it again: a node that SQL does not answer serves the tenant on, until it does.
            return
        rows = USAGE_ROWS
        while rows:
            rows = await self._usage.remove(tenant_id, USAGE_ROWS)
            await asyncio.sleep(SLICE_PAUSE_SECONDS)
        await self._deletions.finish(tenant_id)
        log.info("nothing is left of a deleted tenant", tenant=deletion.name, tenant_id=tenant_id)

    async def _pass(self, tenant_id: str) -> int | None:
        """Go through all of Redis once; how many keys were removed, None when another node has taken over."""
        removed = untold = cursor = 0
        told_at = time.monotonic()
        while True:
            cursor, count = await self._broker.purge_tenant(tenant_id, cursor)
            removed, untold = removed + count, untold + count
            if not cursor or time.monotonic() - told_at >= PROGRESS_SECONDS:
                if untold:
                    await self._deletions.note_progress(tenant_id, untold)
                if not await self._claim(tenant_id):
                    return None
                untold, told_at = 0, time.monotonic()
            if not cursor:
                return removed
            await asyncio.sleep(SLICE_PAUSE_SECONDS)

    async def _claim(self, tenant_id: str) -> bool:
        return await self._deletions.claim(tenant_id, self._node, _now_ms() + int(CLAIM_SECONDS * 1_000))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
