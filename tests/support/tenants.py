"""Tenants of tests: made in the nodes' own database, their tokens signed as a tenant's server signs them."""

import base64
import hashlib
import hmac
import itertools
import json
import time
from typing import Any, Final, NamedTuple

from service.tenants.audit import OPERATOR
from service.tenants.limits import Limits
from service.tenants.room_types import RoomType
from service.tenants.storage import Storage
from tests.support.canaries import keep_secret

ALL: Final = {"*": ["*"]}
# Tests of other things are not slowed by rates.
UNHURRIED: Final[dict[str, Any]] = {
    "api_requests_per_second": None,
    "publishes_per_second": None,
    "commands_per_second": None,
    "connects_per_second": None,
    "deliveries_per_second": None,
}
_names: Final = itertools.count()


class Tenant(NamedTuple):
    """A tenant with its secrets, and the storage in which it can be changed."""

    id: str
    name: str
    kid: str
    secret: str
    api_key: str
    storage: Storage

    def token(self, user: str = "alice", *, ttl_seconds: float = 3600, header: Any = None, **claims: Any) -> str:
        """A token with all rights, unless `rooms` or other claims say otherwise; a claim None is left out."""
        now = time.time()
        body = {"tid": self.name, "sub": user, "iat": int(now), "exp": now + ttl_seconds, "rooms": ALL, "send": True}
        body = {name: value for name, value in (body | claims).items() if value is not None}
        head = {"alg": "HS256", "kid": self.kid, "typ": "JWT"} | (header or {})
        signed = f"{_segment(head)}.{_segment(body)}"
        signature = hmac.digest(self.secret.encode(), signed.encode(), hashlib.sha256)
        return keep_secret(f"{signed}.{_encode(signature)}")

    async def limit(self, **limits: int | None) -> None:
        """Other limits from now on."""
        await self.storage.tenants.change(OPERATOR, self.id, limits=Limits(**(UNHURRIED | limits)))

    async def room_type(self, name: str, **rules: Any) -> None:
        """Rooms of this type are so from now on; nodes know within 2 s."""
        await self.storage.room_types.put(OPERATOR, self.id, name, RoomType(**rules))


async def make_tenant(
    storage: Storage, name: str | None = None, origins: tuple[str, ...] = (), **limits: int | None
) -> Tenant:
    """A tenant without rates but those given."""
    new = await storage.tenants.create(
        OPERATOR, name or f"tenant-{next(_names)}", Limits(**(UNHURRIED | limits)), origins
    )
    for secret in (new.secret, new.api_key):
        keep_secret(secret)
    return Tenant(new.tenant.id, new.tenant.name, new.kid, new.secret, new.api_key, storage)


def _segment(value: object) -> str:
    return _encode(json.dumps(value).encode())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
