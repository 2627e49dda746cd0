"""Tenants, for the operator: made, listed, changed, suspended, resumed, deleted."""

from litestar import Controller, delete, patch, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED
from msgspec import UNSET

from service.api.changes import announce
from service.api.cursors import page_of
from service.api.guards import check_operator
from service.api.operations import TENANT_PATH, read
from service.api.parameters import Cursor, Limit, NamePrefix, TenantInPath
from service.api.strict import StrictBody
from service.protocol.administration import (
    NewTenant,
    StateChange,
    TenantBody,
    TenantChange,
    TenantDetail,
    TenantPage,
)
from service.rooms.node import Node
from service.tenants.audit import Actor
from service.tenants.limits import Limits, apply_limits
from service.tenants.records import Tenant
from service.tenants.resources import describe_deletion, describe_new_tenant, describe_tenant, read_described
from service.tenants.storage import Storage
from service.tenants.stored_tenants import TenantState

_NAMED = TENANT_PATH.removeprefix("/v1/tenants")
_ANY_VERSION = StateChange()


class TenantsController(Controller):
    """`/v1/tenants`."""

    path = "/v1/tenants"
    tags = ("tenants",)
    guards = (check_operator,)
    security = ({"operatorToken": []},)

    @post(operation_id="createTenant", summary="Make a tenant", dto=StrictBody)
    async def create_tenant(
        self, storage: NamedDependency[Storage], actor: NamedDependency[Actor], data: JSONBody[TenantBody]
    ) -> NewTenant:
        """With a signing key and an API key of all scopes, which are shown this once."""
        limits = apply_limits(Limits(), {} if data.limits is UNSET else data.limits)
        new = await storage.tenants.create(actor, data.name, limits, () if data.origins is UNSET else data.origins)
        return describe_new_tenant(new)

    @read(operation_id="listTenants", summary="List the tenants")
    async def list_tenants(
        self, storage: NamedDependency[Storage], prefix: NamePrefix = "", cursor: Cursor = None, limit: Limit = 100
    ) -> TenantPage:
        """Tenants by name, without those that are being deleted."""

        async def find(after: str, most: int) -> list[Tenant]:
            return await storage.tenants.page(after, most, prefix)

        found, next_cursor = await page_of("", f"tenants\0{prefix}", cursor, limit, find, lambda tenant: tenant.name)
        return TenantPage(items=[describe_tenant(tenant) for tenant in found], next_cursor=next_cursor)

    @read(_NAMED, operation_id="getTenant", summary="Look at one tenant")
    async def read_tenant(self, storage: NamedDependency[Storage], tenant: TenantInPath) -> TenantDetail:
        """Its limits in force and origins; of one that is being deleted, how far that got."""
        return await read_described(storage, tenant)

    @patch(_NAMED, operation_id="changeTenant", summary="Change limits and origins", dto=StrictBody)
    async def change_tenant(
        self,
        storage: NamedDependency[Storage],
        actor: NamedDependency[Actor],
        node: NamedDependency[Node],
        tenant: TenantInPath,
        data: JSONBody[TenantChange],
    ) -> TenantDetail:
        """In force on all nodes within 2 s, for open sockets too. `conflict` when `version` is not the tenant's."""
        changed = await storage.tenants.change(
            actor,
            (await storage.tenants.read(tenant)).id,
            version=None if data.version is UNSET else data.version,
            limit_changes=None if data.limits is UNSET else data.limits,
            origins=None if data.origins is UNSET else data.origins,
        )
        await announce(node, changed.id)
        return describe_tenant(changed)

    @post(
        f"{_NAMED}/suspend",
        operation_id="suspendTenant",
        summary="Suspend a tenant",
        status_code=HTTP_200_OK,
        dto=StrictBody,
        may_have_body=True,
    )
    async def suspend_tenant(
        self,
        storage: NamedDependency[Storage],
        actor: NamedDependency[Actor],
        node: NamedDependency[Node],
        tenant: TenantInPath,
        data: JSONBody[StateChange] = _ANY_VERSION,
    ) -> TenantDetail:
        """Its sockets are closed with 4403, its keys and tokens answered `forbidden`, on all nodes within 2 s."""
        return await _set_state(storage, actor, node, tenant, "suspended", data)

    @post(
        f"{_NAMED}/resume",
        operation_id="resumeTenant",
        summary="Resume a tenant",
        status_code=HTTP_200_OK,
        dto=StrictBody,
        may_have_body=True,
    )
    async def resume_tenant(
        self,
        storage: NamedDependency[Storage],
        actor: NamedDependency[Actor],
        node: NamedDependency[Node],
        tenant: TenantInPath,
        data: JSONBody[StateChange] = _ANY_VERSION,
    ) -> TenantDetail:
        """Its keys and tokens are good again."""
        return await _set_state(storage, actor, node, tenant, "active", data)

    @delete(_NAMED, operation_id="deleteTenant", summary="Delete a tenant", status_code=HTTP_202_ACCEPTED)
    async def delete_tenant(
        self,
        storage: NamedDependency[Storage],
        actor: NamedDependency[Actor],
        node: NamedDependency[Node],
        tenant: TenantInPath,
    ) -> TenantDetail:
        """Its keys end at once and its sockets close with 4403; its rooms are removed bit by bit, then its usage."""
        deletion = await storage.tenants.delete(actor, tenant)
        await announce(node, deletion.tenant_id)
        return describe_deletion(deletion)


async def _set_state(
    storage: Storage, actor: Actor, node: Node, name: str, state: TenantState, wanted: StateChange
) -> TenantDetail:
    version = None if wanted.version is UNSET else wanted.version
    changed = await storage.tenants.set_state(actor, (await storage.tenants.read(name)).id, state, version)
    await announce(node, changed.id)
    return describe_tenant(changed)
