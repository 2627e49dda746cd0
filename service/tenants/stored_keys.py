"""The keys of tenants in SQL: made, listed, revoked, and when they were last used."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from service.protocol.errors import Conflict, NotFound, TooMany
from service.tenants.audit import SYSTEM, Actor
from service.tenants.keys import Sealer, new_hs256_secret
from service.tenants.records import ApiKeyRecord, SigningKeyRecord
from service.tenants.rows import (
    api_key_facts,
    check_cursor,
    is_text,
    make_api_key,
    make_signing_key,
    read_api_key_record,
    read_limits,
    read_signing_key_record,
    signing_key_facts,
    unix_time_ms,
)
from service.tenants.tables import ApiKeyRow, SigningKeyRow, TenantRow
from service.tenants.transactions import TenantChange, Transactions

# Revoked and expired keys are listed, so that one sees them end; a tenant that rotates in a loop fills no disk.
KEPT_ENDED_KEYS: Final = 1_000
# To open a public key and read it takes 60-220 µs; so many are listed, and the loop has its turn.
KEYS_OF_A_TURN: Final = 20

Row = TypeVar("Row", SigningKeyRow, ApiKeyRow)


class Keys:
    """Signing keys and API keys, each looked up under its tenant's internal id.

    Methods with an actor leave an audit row for what they change.
    """

    def __init__(self, transactions: Transactions, sealer: Sealer) -> None:
        self._transactions = transactions
        self._sealer = sealer

    async def create_signing_key(
        self,
        actor: Actor,
        tenant_id: str,
        algorithm: str,
        material: bytes | None = None,
        *,
        name: str = "",
        kid: str | None = None,
        expires_at_ms: int | None = None,
    ) -> tuple[SigningKeyRecord, str | None]:
        """A key for tokens as (record, secret): HS256 draws its secret unless `material` brings one, and gives it back;
        ES256 and EdDSA need `material`, a PEM or JWK.

        Raises Conflict (kid taken), Invalid, NotFound, TooMany (`max_signing_keys`).
        """
        secret = new_hs256_secret() if algorithm == "HS256" and material is None else None
        material = secret.encode() if secret is not None else material or b""
        row = make_signing_key(
            tenant_id, algorithm, material, self._sealer, name=name, kid=kid, expires_at_ms=expires_at_ms
        )
        async with self._transactions.change(actor, tenant_id) as change:
            taken = (SigningKeyRow.tenant_id == tenant_id) & (SigningKeyRow.kid == row.kid)
            if await change.session.scalar(select(SigningKeyRow.kid).where(taken)) is not None:
                raise Conflict(f"the tenant has a signing key {row.kid} already")
            limit = read_limits(change.tenant).max_signing_keys
            await _make_room(change, SigningKeyRow, SigningKeyRow.kid, limit, "max_signing_keys")
            change.session.add(row)
            change.note("signing_key.create", row.kid, after=signing_key_facts(row))
        return read_signing_key_record(row, self._sealer), secret

    async def create_api_key(
        self, actor: Actor, tenant_id: str, name: str, scopes: Iterable[str], expires_at_ms: int | None = None
    ) -> tuple[ApiKeyRecord, str]:
        """A key for the tenant's servers as (record, text); the text is nowhere kept.

        Raises Invalid, NotFound, TooMany (`max_api_keys`).
        """
        async with self._transactions.change(actor, tenant_id) as change:
            text, row = make_api_key(tenant_id, change.tenant.name, name, scopes, expires_at_ms)
            limit = read_limits(change.tenant).max_api_keys
            await _make_room(change, ApiKeyRow, ApiKeyRow.key_id, limit, "max_api_keys")
            change.session.add(row)
            change.note("api_key.create", row.key_id, after=api_key_facts(row))
        return read_api_key_record(row), text

    async def page_signing_keys(self, tenant_id: str, after: str, limit: int) -> list[SigningKeyRecord]:
        """At most `limit` keys by kid, from the one that follows `after` ("": the first); ended ones too."""
        mine = (SigningKeyRow.tenant_id == tenant_id) & (SigningKeyRow.kid > check_cursor(after))
        page = select(SigningKeyRow).where(mine).order_by(SigningKeyRow.kid).limit(limit)
        async with self._transactions.read() as session:
            rows = list(await session.scalars(page))
        records: list[SigningKeyRecord] = []
        for number, row in enumerate(rows, 1):
            records.append(read_signing_key_record(row, self._sealer))
            if number % KEYS_OF_A_TURN == 0:
                await asyncio.sleep(0)
        return records

    async def page_api_keys(self, tenant_id: str, after: str, limit: int) -> list[ApiKeyRecord]:
        """At most `limit` keys by key id, from the one that follows `after` ("": the first); ended ones too."""
        mine = (ApiKeyRow.tenant_id == tenant_id) & (ApiKeyRow.key_id > check_cursor(after))
        page = select(ApiKeyRow).where(mine).order_by(ApiKeyRow.key_id).limit(limit)
        async with self._transactions.read() as session:
            return [read_api_key_record(row) for row in await session.scalars(page)]

    async def revoke_signing_key(self, actor: Actor, tenant_id: str, kid: str) -> SigningKeyRecord:
        """No token under this key is accepted any more; said twice is said once. Raises NotFound."""
        mine = (SigningKeyRow.tenant_id == tenant_id) & (SigningKeyRow.kid == kid)
        async with self._transactions.change(actor, tenant_id) as change:
            locked = select(SigningKeyRow).where(mine).with_for_update()
            found = await change.session.scalar(locked) if is_text(kid) else None
            row = _revoke(change, found, "signing_key.revoke", kid)
        return read_signing_key_record(row, self._sealer)

    async def revoke_api_key(self, actor: Actor, tenant_id: str, key_id: str) -> ApiKeyRecord:
        """This key is not accepted any more; said twice is said once. Raises NotFound."""
        mine = (ApiKeyRow.tenant_id == tenant_id) & (ApiKeyRow.key_id == key_id)
        async with self._transactions.change(actor, tenant_id) as change:
            locked = select(ApiKeyRow).where(mine).with_for_update()
            found = await change.session.scalar(locked) if is_text(key_id) else None
            row = _revoke(change, found, "api_key.revoke", key_id)
        return read_api_key_record(row)

    async def note_used(self, tenant_id: str, signing: Mapping[str, int], api: Mapping[str, int]) -> None:
        """Note when keys were last used (kid, key id: Unix ms), never an earlier instant than what stands there.

        Raises no version and leaves no audit row; keys that are gone are passed over.
        """
        async with self._transactions.write(SYSTEM) as write:
            # Locked against deletion, which takes the keys in an order of its own. Sorted: two nodes that note the same
            # keys wait for each other in one order.
            there = select(TenantRow.id).where(TenantRow.id == tenant_id).with_for_update(read=True, key_share=True)
            if await write.session.scalar(there) is None:
                return
            for kid, at_ms in sorted(signing.items()):
                await _note_used(write.session, SigningKeyRow, tenant_id, SigningKeyRow.kid, kid, at_ms)
            for key_id, at_ms in sorted(api.items()):
                await _note_used(write.session, ApiKeyRow, tenant_id, ApiKeyRow.key_id, key_id, at_ms)


async def _make_room(
    change: TenantChange, rows: type[Row], ids: InstrumentedAttribute[str], limit: int | None, limit_name: str
) -> None:
    """Raises TooMany when one more in force would be over the limit; the oldest of many ended keys are forgotten."""
    tenant_id, now_ms = change.tenant.id, unix_time_ms()
    ended = or_(rows.revoked_at_ms.is_not(None), func.coalesce(rows.expires_at_ms, now_ms + 1) <= now_ms)
    count = select(func.count()).select_from(rows).where(rows.tenant_id == tenant_id, ~ended)
    if limit is not None and (await change.session.scalar(count) or 0) >= limit:
        raise TooMany(limit_name, "tenant")
    newest_first = func.coalesce(rows.revoked_at_ms, rows.expires_at_ms).desc()
    oldest = select(ids).where(rows.tenant_id == tenant_id, ended).order_by(newest_first)
    forgotten = ids.in_(oldest.offset(KEPT_ENDED_KEYS).limit(KEPT_ENDED_KEYS))
    await change.session.execute(
        delete(rows).where(rows.tenant_id == tenant_id, forgotten), execution_options={"synchronize_session": False}
    )


def _revoke(change: TenantChange, row: Row | None, action: str, subject: str) -> Row:
    if row is None:
        raise NotFound(f"key: {subject}")
    if row.revoked_at_ms is None:
        row.revoked_at_ms = unix_time_ms()
        change.note(action, subject, before={"revoked_at_ms": None}, after={"revoked_at_ms": row.revoked_at_ms})
    return row


async def _note_used(
    session: AsyncSession, rows: type[Row], tenant_id: str, ids: InstrumentedAttribute[str], key: str, at_ms: int
) -> None:
    earlier = func.coalesce(rows.last_used_at_ms, 0) < at_ms
    noting = update(rows).where(rows.tenant_id == tenant_id, ids == key, earlier).values(last_used_at_ms=at_ms)
    await session.execute(noting, execution_options={"synchronize_session": False})
