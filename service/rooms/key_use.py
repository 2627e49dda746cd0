"""A tenant's keys on this node: connections under each signing key, and when each key last served."""

from collections.abc import Mapping
from typing import Protocol

from service.brokers.broker import Broker
from service.protocol.errors import Unavailable

# The page that shows a key's last use may be a minute behind.
SAVE_SECONDS = 55.0


class UsedKeys(Protocol):
    """Where the last use of keys is kept (`tenants.storage`)."""

    async def note_used(self, tenant_id: str, signing: Mapping[str, int], api: Mapping[str, int]) -> None:
        """Keep, by kid and by key id, the instants (Unix ms) that are later than those known. Raises Unavailable."""


class KeyUse:
    """Of one tenant. Connections are told to the cluster as they change, last uses are saved once a minute."""

    __slots__ = ("_api", "_broker", "_connections", "_signing", "_tenant_id")

    def __init__(self, tenant_id: str, broker: Broker) -> None:
        self._tenant_id = tenant_id
        self._broker = broker
        self._connections: dict[str, int] = {}
        # Unix ms of the last use that is not saved yet.
        self._signing: dict[str, int] = {}
        self._api: dict[str, int] = {}

    def connected(self, kid: str) -> None:
        """A connection more is under this signing key."""
        self._count(kid, 1)

    def disconnected(self, kid: str) -> None:
        """A connection less is under this signing key."""
        self._count(kid, -1)

    def _count(self, kid: str, change: int) -> None:
        count = self._connections.get(kid, 0) + change
        if count:
            self._connections[kid] = count
        else:
            del self._connections[kid]
        self._broker.note_key_use(self._tenant_id, {kid: count})

    def note_signing_key(self, kid: str, now_ms: int) -> None:
        """A token was accepted under this key."""
        self._signing[kid] = now_ms

    def note_api_key(self, key_id: str, now_ms: int) -> None:
        """A request was let in by this key."""
        self._api[key_id] = now_ms

    @property
    def is_saved(self) -> bool:
        """Whether nothing was used since the last `save`."""
        return not (self._signing or self._api)

    async def save(self, used: UsedKeys) -> None:
        """Save what was used. Raises Unavailable: then it waits for the next time."""
        signing, self._signing = self._signing, {}
        api, self._api = self._api, {}
        try:
            await used.note_used(self._tenant_id, signing, api)
        except Unavailable:
            self._signing = signing | self._signing  # what was used meanwhile is later
            self._api = api | self._api
            raise
