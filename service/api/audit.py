"""The audit: who changed what of a tenant, when, from what to what."""

from collections.abc import Sequence

from litestar import Controller
from litestar.di import NamedDependency

from service.api.cursors import page_of
from service.api.guards import needs
from service.api.operations import read
from service.api.parameters import Cursor, From, Limit, To
from service.protocol.administration import AuditPage
from service.protocol.instants import read_instant
from service.rooms.connection_manager import ConnectionManager
from service.tenants.audit import AuditEntry
from service.tenants.resources import describe_change
from service.tenants.storage import Storage


class AuditController(Controller):
    """`/audit`."""

    path = "/audit"
    tags = ("audit",)

    @read(operation_id="listChanges", summary="List who changed what", **needs("read"))
    async def list_changes(
        self,
        manager: NamedDependency[ConnectionManager],
        storage: NamedDependency[Storage],
        from_: From = None,
        to: To = None,
        cursor: Cursor = None,
        limit: Limit = 100,
    ) -> AuditPage:
        """The newest first, of the operator, the tenant's servers and the command line; secrets never stand there."""
        tenant_id = manager.tenant.id
        from_ms = None if from_ is None else read_instant(from_, "$.from")
        to_ms = None if to is None else read_instant(to, "$.to")

        async def find(before: str, most: int) -> Sequence[AuditEntry]:
            before_id = int(before) if before else None
            return await storage.audit.page(tenant_id, before_id, most, from_ms, to_ms)

        query = f"audit\0{from_ms}\0{to_ms}"
        found, next_cursor = await page_of(tenant_id, query, cursor, limit, find, lambda entry: str(entry.id))
        return AuditPage(items=[describe_change(entry) for entry in found], next_cursor=next_cursor)
