"""The tenants that this node knows, in memory: SQL is asked for an unknown name and once a second for what changed.

With SQL down, tenants that are known stay known, with the keys and limits that were last seen (RELIABILITY.md, 8).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import structlog

from service.protocol.errors import Unavailable
from service.telemetry import counters
from service.tenants.limits import TokenBucket
from service.tenants.snapshot import ApiKey, Change, SigningKey, TenantSnapshot

__all__ = ["ApiKey", "Change", "SigningKey", "TenantCache", "TenantSnapshot", "TenantSource"]

# A tenant that was made a moment after somebody asked for its name is known within this time.
UNKNOWN_SECONDS = 1.0
# 63 characters at most each: a flood of made-up names costs below 2 MB.
UNKNOWN_NAMES = 10_000
# A look-up on SQLite took 1.3 ms of CPU for an unknown name, 3 ms for a tenant with two keys: a flood of made-up names
# takes a quarter of a core at most, and a node that starts knows 7,000 tenants within 30 s.
MISSES_PER_SECOND = 200
MISSES_BURST = 1_000

_log = structlog.get_logger(__name__)


class TenantSource(Protocol):
    """Where snapshots come from (`storage.Storage`); each raises Unavailable when SQL is out of reach."""

    async def find_tenant(self, name: str) -> TenantSnapshot | None:
        """The tenant of this name."""

    async def find_tenant_by_id(self, tenant_id: str) -> TenantSnapshot | None:
        """The tenant of this internal id."""

    async def tenant_versions(self, tenant_ids: Iterable[str]) -> dict[str, int]:
        """The version of each of these tenants that exists."""


class TenantCache:
    """Snapshots by name and by id. Not for several threads; `refresh` is called once a second by the node."""

    def __init__(self, source: TenantSource, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._by_name: dict[str, TenantSnapshot] = {}
        self._by_id: dict[str, TenantSnapshot] = {}
        # Names and ids that SQL did not know, oldest first, with the instant at which to ask again.
        self._unknown: dict[str, float] = {}
        # Questions under way, so that a thousand clients of one tenant ask once.
        self._asking: dict[str, asyncio.Task[TenantSnapshot | None]] = {}
        self._misses = TokenBucket(MISSES_PER_SECOND, MISSES_BURST, clock())
        self.failed_refreshes = 0  # in a row; 0: SQL answered the last one

    # What the node asks.

    async def find(self, name: str) -> TenantSnapshot | None:
        """The tenant of this name, None if there is none. Raises Unavailable when SQL must be asked and cannot."""
        snapshot = self._by_name.get(name)
        if snapshot is not None:
            return snapshot
        return await self._ask(f"name:{name}", lambda: self._source.find_tenant(name))

    async def find_by_id(self, tenant_id: str) -> TenantSnapshot | None:
        """The tenant of this internal id, None if there is none. Raises Unavailable as `find` does."""
        snapshot = self._by_id.get(tenant_id)
        if snapshot is not None:
            return snapshot
        return await self._ask(f"id:{tenant_id}", lambda: self._source.find_tenant_by_id(tenant_id))

    def known(self, tenant_id: str) -> TenantSnapshot | None:
        """The snapshot in memory, for the hot path; None if it was never found or is gone."""
        return self._by_id.get(tenant_id)

    async def refresh(self) -> list[Change]:
        """One look for what changed: one query for all versions, one for each changed tenant.

        Silent while SQL is out of reach: the snapshots stay, `failed_refreshes` counts, the log has it once.
        """
        changes: list[Change] = []
        try:
            before = dict(self._by_id)
            versions = await self._source.tenant_versions(before) if before else {}
            for tenant_id, snapshot in before.items():
                if versions.get(tenant_id) != snapshot.version and (change := await self._reload_if_readable(snapshot)):
                    changes.append(change)
        except Unavailable as error:
            self.failed_refreshes += 1
            if self.failed_refreshes == 1:
                _log.warning("the database is out of reach: tenants stay as they were last seen", reason=error.message)
        else:
            if self.failed_refreshes:
                _log.info("the database is in reach again", count=self.failed_refreshes)
            self.failed_refreshes = 0
        # What was found before SQL failed is kept, so it must be told: no later look finds it again.
        return changes

    async def reload(self, tenant_id: str) -> Change | None:
        """A look at one tenant at once, as another node says that it changed; None: it did not. Raises Unavailable.

        First at its version, which costs half as much, or a tenth where much is revoked: this node's own word comes
        back to it, too.
        """
        snapshot = self._by_id.get(tenant_id)
        if snapshot is None:
            return None
        versions = await self._source.tenant_versions([tenant_id])
        return None if versions.get(tenant_id) == snapshot.version else await self._reload(snapshot)

    # How it is kept.

    async def _reload_if_readable(self, known: TenantSnapshot) -> Change | None:
        """A row that this version can't read, as the next one may write it, must not keep all other tenants' news."""
        try:
            return await self._reload(known)
        except Unavailable:
            raise
        except Exception as error:
            counters.faults += 1
            _log.error(
                "a changed tenant can't be read: it stays as it was last seen", tenant=known.name, exc_info=error
            )
            return None

    async def _reload(self, known: TenantSnapshot) -> Change | None:
        found = await self._source.find_tenant_by_id(known.id)
        if found is None:
            self._forget(known)
            return Change(known.id, known.name, None)
        return Change(found.id, found.name, found) if self._keep(found) else None

    def _keep(self, found: TenantSnapshot) -> bool:
        """Keep `found` unless a newer one is known: answers of two queries may overtake each other."""
        known = self._by_id.get(found.id)
        if known is not None and known.version >= found.version:
            return False
        self._by_id[found.id] = self._by_name[found.name] = found
        return True

    def _forget(self, gone: TenantSnapshot) -> None:
        self._by_id.pop(gone.id, None)
        # The name may belong to a new tenant already.
        named = self._by_name.get(gone.name)
        if named is not None and named.id == gone.id:
            del self._by_name[gone.name]

    async def _ask(self, question: str, ask: Callable[[], Awaitable[TenantSnapshot | None]]) -> TenantSnapshot | None:
        now = self._clock()
        if self._unknown.get(question, now) > now:
            return None
        task = self._asking.get(question)
        if task is None:
            retry_after_ms = self._misses.take(1, now)
            if retry_after_ms:
                raise Unavailable("too many unknown tenants are asked for", retry_after_ms=retry_after_ms)
            task = asyncio.create_task(self._answer(question, ask))
            self._asking[question] = task
        # One who gives up waiting must not take the answer from the others.
        return await asyncio.shield(task)

    async def _answer(
        self, question: str, ask: Callable[[], Awaitable[TenantSnapshot | None]]
    ) -> TenantSnapshot | None:
        try:
            found = await ask()
        finally:
            del self._asking[question]
        if found is None:
            self._unknown.pop(question, None)
            while len(self._unknown) >= UNKNOWN_NAMES:
                del self._unknown[next(iter(self._unknown))]
            self._unknown[question] = self._clock() + UNKNOWN_SECONDS
            return None
        self._unknown.pop(question, None)
        # Another question may have brought it meanwhile. That one stays: only a refresh or reload, which tell what
        # they change, may replace what a socket was opened with.
        known = self._by_id.get(found.id)
        if known is None:
            self._keep(found)
        return known or found
