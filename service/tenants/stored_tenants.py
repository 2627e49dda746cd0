"""Tenants in SQL: made, listed, changed, deleted."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import UNSET
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from service.protocol.errors import Conflict, Invalid, NotFound
from service.protocol.identifiers import is_tenant
from service.tenants.audit import Actor
from service.tenants.keys import Sealer, new_hs256_secret, random_id
from service.tenants.limits import Limits, apply_limits
from service.tenants.records import Deletion, NewTenant, Tenant
from service.tenants.rows import (
    api_key_facts,
    check_cursor,
    check_origins,
    is_text,
    make_api_key,
    make_signing_key,
    read_deletion,
    read_limits,
    read_tenant,
    signing_key_facts,
    unix_time_ms,
)
from service.tenants.snapshot import SCOPES
from service.tenants.tables import DeletionRow, TenantRow
from service.tenants.transactions import Transactions

TenantState = Literal["active", "suspended"]


class Tenants:
    """All tenants of the database. Methods with an actor leave an audit row for what they change."""

    def __init__(self, transactions: Transactions, sealer: Sealer) -> None:
        self._transactions = transactions
        self._sealer = sealer

    async def create(
        self, actor: Actor, name: str, limits: Limits | None = None, origins: Sequence[str] = ()
    ) -> NewTenant:
        """A tenant with an HS256 key and an API key of all scopes. Raises Conflict (name taken), Invalid."""
        if not is_tenant(name):
            raise Invalid("a tenant's name is a-z, 0-9 and -, 1 to 63 of them, and begins with no -", "$.name")
        row = TenantRow(
            id=random_id(),
            name=name,
            state="active",
            limits=msgspec.to_builtins(limits or Limits()),
            origins=check_origins(origins),
            version=1,
            created_at_ms=unix_time_ms(),
        )
        secret = new_hs256_secret()
        signing_key = make_signing_key(row.id, "HS256", secret.encode(), self._sealer, name="first")
        text, api_key = make_api_key(row.id, name, "first", SCOPES)
        try:
            async with self._transactions.write(actor) as write:
                write.session.add(row)
                await write.session.flush()
                write.session.add_all((signing_key, api_key))
                write.note(row.id, name, "tenant.create", name, after=_facts(row))
                write.note(row.id, name, "signing_key.create", signing_key.kid, after=signing_key_facts(signing_key))
                write.note(row.id, name, "api_key.create", api_key.key_id, after=api_key_facts(api_key))
        except IntegrityError:
            raise Conflict(f"there is a tenant {name} already") from None
        return NewTenant(read_tenant(row), signing_key.kid, "HS256", secret, text)

    async def page(self, after: str, limit: int, prefix: str = "") -> list[Tenant]:
        """At most `limit` tenants by name, from the one that follows `after` ("": the first) and begins so."""
        if not is_text(prefix):
            return []
        begins = func.substr(TenantRow.name, 1, len(prefix)) == prefix
        page = (
            select(TenantRow).where(TenantRow.name > check_cursor(after), begins).order_by(TenantRow.name).limit(limit)
        )
        async with self._transactions.read() as session:
            return [read_tenant(row) for row in await session.scalars(page)]

    async def read(self, name: str) -> Tenant:
        """The tenant of this name. Raises NotFound."""
        async with self._transactions.read() as session:
            row = await session.scalar(select(TenantRow).where(TenantRow.name == name)) if is_tenant(name) else None
        if row is None:
            raise NotFound(f"tenant: {name}")
        return read_tenant(row)

    async def change(
        self,
        actor: Actor,
        tenant_id: str,
        *,
        version: int | None = None,
        limits: Limits | None = None,
        limit_changes: Mapping[str, Any] | None = None,
        origins: Sequence[str] | None = None,
    ) -> Tenant:
        """Replace what is given, `limit_changes` over the limits in force; gives the tenant as it is then.

        origins: the exact list from which browsers may connect; empty: any. Raises NotFound, Invalid, and Conflict
        when `version` is given and is no longer the tenant's.
        """
        wanted_origins = None if origins is None else check_origins(origins)
        async with self._transactions.change(actor, tenant_id, version) as change:
            tenant = change.tenant
            known = read_limits(tenant)
            wanted = apply_limits(known if limits is None else limits, limit_changes or {})
            before, after = _limit_difference(known, wanted)
            if before != after:
                # A limit of the next version, which this one does not know, stays.
                unknown = {name: tenant.limits[name] for name in tenant.limits if name not in Limits.__struct_fields__}
                tenant.limits = unknown | msgspec.to_builtins(wanted)
                before, after = {"limits": before}, {"limits": after}
            if wanted_origins is not None and wanted_origins != tenant.origins:
                before, after = before | {"origins": tenant.origins}, after | {"origins": wanted_origins}
                tenant.origins = wanted_origins
            if before != after:
                change.note("tenant.change", tenant.name, before=before, after=after)
        return read_tenant(tenant)

    async def set_state(self, actor: Actor, tenant_id: str, state: TenantState, version: int | None = None) -> Tenant:
        """Suspend or resume the tenant. Raises NotFound, and Conflict as `change` does."""
        async with self._transactions.change(actor, tenant_id, version) as change:
            tenant = change.tenant
            if tenant.state != state:
                action = "tenant.suspend" if state == "suspended" else "tenant.resume"
                change.note(action, tenant.name, before={"state": tenant.state}, after={"state": state})
                tenant.state = state
        return read_tenant(tenant)

    async def delete(self, actor: Actor, name: str) -> Deletion:
        """Delete the tenant with its keys, room types and revocations; its name is free, the rest of it is a node's to
        remove (`Deletions`). Raises NotFound.
        """
        async with self._transactions.write(actor) as write:
            named = select(TenantRow).where(TenantRow.name == name).with_for_update()
            tenant = await write.session.scalar(named) if is_tenant(name) else None
            if tenant is None:
                raise NotFound(f"tenant: {name}")
            deletion = DeletionRow(tenant_id=tenant.id, name=name, asked_at_ms=unix_time_ms(), removed_keys=0)
            await write.session.delete(tenant)
            write.session.add(deletion)
            write.note(tenant.id, name, "tenant.delete", name, before=_facts(tenant))
        return read_deletion(deletion)


def _facts(row: TenantRow) -> dict[str, Any]:
    return {"state": row.state, "limits": row.limits, "origins": row.origins}


def _limit_difference(before: Limits, after: Limits) -> tuple[dict[str, Any], dict[str, Any]]:
    """The limits that differ, as they were and as they are; one that follows from others is left out."""
    names = [name for name in Limits.__struct_fields__ if getattr(before, name) != getattr(after, name)]
    told = [{name: getattr(limits, name) for name in names} for limits in (before, after)]
    old, new = ({name: value for name, value in limits.items() if value is not UNSET} for limits in told)
    return old, new
