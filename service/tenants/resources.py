"""What is stored as it is told, over REST and on the command line alike."""

import msgspec

from service.protocol.administration import (
    ApiKeyDetail,
    AuditItem,
    FirstSigningKey,
    NewApiKey,
    NewSigningKey,
    NewTenant,
    RoomTypeDetail,
    SigningKeyDetail,
    TenantDetail,
)
from service.protocol.errors import NotFound
from service.tenants import records
from service.tenants.audit import AuditEntry
from service.tenants.limits import Limits
from service.tenants.storage import Storage


def describe_tenant(tenant: records.Tenant) -> TenantDetail:
    """A tenant that is there, with all limits that are in force."""
    limits = {name: getattr(tenant.limits, name) for name in Limits.__struct_fields__}
    return TenantDetail(
        tenant=tenant.name,
        state="active" if tenant.state == "active" else "suspended",
        limits=limits | {"max_frame_bytes": tenant.limits.frame_bytes},
        origins=list(tenant.origins),
        version=tenant.version,
        created_at_ms=tenant.created_at_ms,
    )


def describe_new_tenant(new: records.NewTenant) -> NewTenant:
    """A tenant just made, with its secrets."""
    signing_key = FirstSigningKey(kid=new.kid, algorithm=new.algorithm, secret=new.secret)
    return NewTenant(tenant=describe_tenant(new.tenant), signing_key=signing_key, api_key=new.api_key)


def describe_deletion(deletion: records.Deletion) -> TenantDetail:
    """A tenant that is being deleted: how far that got."""
    return TenantDetail(
        tenant=deletion.name,
        state="deleting",
        asked_at_ms=deletion.asked_at_ms,
        removed_keys=deletion.removed_keys,
    )


async def read_described(storage: Storage, name: str) -> TenantDetail:
    """The tenant of this name or, if it is being deleted, how far that got. Raises NotFound, Unavailable."""
    try:
        return describe_tenant(await storage.tenants.read(name))
    except NotFound:
        deletion = await storage.deletions.find(name)
        if deletion is None or deletion.done_at_ms is not None:
            raise
        return describe_deletion(deletion)


def describe_api_key(key: records.ApiKeyRecord) -> ApiKeyDetail:
    """An API key without its secret."""
    return msgspec.convert(key, ApiKeyDetail, from_attributes=True)


def describe_new_api_key(key: records.ApiKeyRecord, text: str) -> NewApiKey:
    """An API key just made, with the text that opens."""
    return NewApiKey(**msgspec.structs.asdict(describe_api_key(key)), api_key=text)


def describe_signing_key(key: records.SigningKeyRecord) -> SigningKeyDetail:
    """A signing key without its secret."""
    return SigningKeyDetail(
        kid=key.kid,
        name=key.name,
        algorithm=key.algorithm,
        jwk=key.public,
        created_at_ms=key.created_at_ms,
        last_used_at_ms=key.last_used_at_ms,
        expires_at_ms=key.expires_at_ms,
        revoked_at_ms=key.revoked_at_ms,
    )


def describe_new_signing_key(key: records.SigningKeyRecord, secret: str | None) -> NewSigningKey:
    """A signing key just made, with its secret if it was made here."""
    detail = msgspec.structs.asdict(describe_signing_key(key))
    return NewSigningKey(**detail, secret=msgspec.UNSET if secret is None else secret)


def describe_room_type(room_type: records.RoomTypeRecord) -> RoomTypeDetail:
    """A room type with all of its rules."""
    return RoomTypeDetail(name=room_type.name, **msgspec.structs.asdict(room_type.room_type))


def describe_change(entry: AuditEntry) -> AuditItem:
    """One line of the audit."""
    return msgspec.convert(entry, AuditItem, from_attributes=True)
