"""Revocations in SQL: tokens that are refused although their keys are in force (PROTOCOL.md, `/v1/revocations`)."""

from typing import Final

from sqlalchemy import delete, func, select

from service.protocol.errors import Invalid, TooMany
from service.protocol.identifiers import is_user
from service.tenants.audit import Actor
from service.tenants.records import Revocation
from service.tenants.rows import check_future, is_text, unix_time_ms
from service.tenants.tables import RevocationRow
from service.tenants.transactions import Transactions

# In force at a time. Every node holds them all: 10,000 of them cost about 2 MB, and 30 ms when the tenant changes.
MAX_REVOCATIONS: Final = 10_000
_MAX_JTI = 256  # characters


class Revocations:
    """What is revoked, of each tenant; what has ended is forgotten with the next one that is added."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def add(
        self, actor: Actor, tenant_id: str, *, user: str | None = None, jti: str | None = None, until_at_ms: int
    ) -> Revocation:
        """Refuse all tokens of `user`, or the one of `jti` (exactly one of them), until an instant (Unix ms).

        Said again, the later instant counts; gives what is in force. Raises NotFound, Invalid, TooMany.
        """
        kind, subject = _check_subject(user, jti)
        check_future(until_at_ms, "$.until_at_ms")
        mine = RevocationRow.tenant_id == tenant_id
        async with self._transactions.change(actor, tenant_id) as change:
            session = change.session
            ended = delete(RevocationRow).where(mine, RevocationRow.until_at_ms <= unix_time_ms())
            await session.execute(ended, execution_options={"synchronize_session": False})
            same = (RevocationRow.kind == kind) & (RevocationRow.subject == subject)
            row = await session.scalar(select(RevocationRow).where(mine, same))
            before = None if row is None else {"kind": kind, "until_at_ms": row.until_at_ms}
            if row is None:
                count = select(func.count()).select_from(RevocationRow).where(mine)
                if (await session.scalar(count) or 0) >= MAX_REVOCATIONS:
                    raise TooMany("max_revocations", "tenant")
                row = RevocationRow(tenant_id=tenant_id, kind=kind, subject=subject, until_at_ms=0)
                session.add(row)
            if row.until_at_ms < until_at_ms:
                row.until_at_ms = until_at_ms
                change.note("revocation.add", subject, before=before, after={"kind": kind, "until_at_ms": until_at_ms})
        return Revocation(user, jti, row.until_at_ms)


def _check_subject(user: str | None, jti: str | None) -> tuple[str, str]:
    if user is not None and jti is None:
        if not (is_user(user) and is_text(user)):
            raise Invalid("this is no user", "$.user")
        return "user", user
    if jti is not None and user is None:
        if not 1 <= len(jti) <= _MAX_JTI or not is_text(jti):
            raise Invalid(f"a jti that can be revoked has 1 to {_MAX_JTI} characters, none of control", "$.jti")
        return "jti", jti
    raise Invalid("a revocation names a user or a jti, exactly one of them", "$")
