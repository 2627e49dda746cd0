"""The operator: one token that opens `/v1/tenants` and what lies below, and nothing else."""

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Final

from litestar.connection import ASGIConnection

from service.protocol.errors import Forbidden, RateLimited, Unauthenticated
from service.tenants.limits import TokenBucket

WRONG_TOKENS_PER_MINUTE: Final = 10
# Addresses with wrong tokens that are remembered, the last ones: about 3 MB.
_ADDRESSES_REMEMBERED: Final = 10_000
_LIMIT: Final = "operator_tokens_per_minute_per_address"


class OperatorAccess:
    """Tells the operator from everybody else.

    source_of: what counts as one client's address, from the peer's address and the request's headers.
    """

    def __init__(self, token: str, source_of: Callable[[str, Iterable[tuple[bytes, bytes]]], str]) -> None:
        self._hash = _hash(token)
        self._source_of = source_of
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def check(self, connection: ASGIConnection[Any, Any, Any, Any], bearer: str) -> None:
        """Raises Forbidden for an API key, else Unauthenticated for a wrong token, RateLimited for many of them.

        Nothing is looked up. The right token is never refused: who shares its address, as behind a proxy that is not
        trusted, could else lock the operator out. Guessing 32 characters takes too long at any rate; what the limit
        saves is work.
        """
        if bearer.startswith("rck_"):
            raise Forbidden("an API key opens its own tenant's paths, without /tenants/{tenant}")
        if hmac.compare_digest(_hash(bearer), self._hash):
            return
        client = connection.client
        self._take_wrong(self._source_of("" if client is None else client.host, connection.scope["headers"]))
        raise Unauthenticated("the operator token is not valid")

    def _take_wrong(self, source: str) -> None:
        now = time.monotonic()
        bucket = self._buckets.pop(source, None) or TokenBucket(
            WRONG_TOKENS_PER_MINUTE / 60, WRONG_TOKENS_PER_MINUTE, now
        )
        self._buckets[source] = bucket
        if len(self._buckets) > _ADDRESSES_REMEMBERED:
            self._buckets.popitem(last=False)
        wait_ms = bucket.take(1, now)
        if wait_ms:
            raise RateLimited(_LIMIT, "address", wait_ms)


def _hash(token: str) -> bytes:
    # Of equal length whatever was sent, so that the comparison's time tells nothing of it.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
