"""How fast one user may send commands over HTTP, where no connection counts them."""

import time
from collections import OrderedDict
from typing import Final
from weakref import WeakKeyDictionary

from service.protocol.errors import RateLimited
from service.rooms.connection_manager import ConnectionManager
from service.tenants.limits import TokenBucket

# Users of one tenant that are remembered, the last ones; one who was forgotten begins with a full burst. About 1.5 MB.
_MAX_USERS: Final = 10_000
_BURST_SECONDS: Final = 2  # as on a connection (PROTOCOL.md, limits)

_buckets: WeakKeyDictionary[ConnectionManager, OrderedDict[str, TokenBucket]] = WeakKeyDictionary()


def take_command(manager: ConnectionManager, user: str) -> None:
    """Count one command; the user's HTTP requests to one node are held to the rate of one connection.

    Raises RateLimited (`commands_per_second`, scope user).
    """
    rate = manager.tenant.limits.commands_per_second
    if rate is None:
        return
    users = _buckets.setdefault(manager, OrderedDict())
    now = time.monotonic()
    bucket = users.pop(user, None) or TokenBucket(rate, rate * _BURST_SECONDS, now)
    users[user] = bucket
    if len(users) > _MAX_USERS:
        users.popitem(last=False)
    bucket.reconfigure(rate, rate * _BURST_SECONDS)
    wait_ms = bucket.take(1, now)
    if wait_ms:
        raise RateLimited("commands_per_second", "user", wait_ms)
