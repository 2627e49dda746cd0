"""Rates over all nodes: of which tenants more is asked than an even share, and what each node has of those."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from service.brokers import scripts
from service.brokers.keys import Keyspace, TenantKeys
from service.brokers.link import Link
from service.brokers.registry import within_deadline
from service.brokers.resp import pack

SOUGHT_MS: Final = 10_000  # a tenant's rates are divided by demand for so long after one node asked for more
SHARE_MS: Final = 5_000  # a node that did not ask for so long is gone: others may have what it had
MAX_SOUGHT: Final = 1_000  # tenants; 40 µs of Redis each, a node and second. The others' rates stay even


class Shares:
    """Its part of `Broker`."""

    node: str
    _link: Link
    _divided: set[str]

    @within_deadline
    async def divide_rates(
        self, nodes: int, wanted: Mapping[str, Sequence[float]], greedy: Collection[str], least: Sequence[float]
    ) -> dict[str, tuple[float, ...]]:
        """See `Broker.divide_rates`."""
        packed = scripts.NOTE_SOUGHT.pack([Keyspace.SOUGHT], SOUGHT_MS, MAX_SOUGHT, *greedy)
        sought = [tenant_id.decode() for tenant_id in await self._link.ask(packed, list)]
        # An even share is taken only when nobody takes this node's for a smaller one any more.
        over = self._divided.difference(sought)
        await self._link.ask_all([pack("HDEL", TenantKeys(tenant_id).key(b"q"), self.node) for tenant_id in over])
        self._divided = set(sought)
        shares = await self._link.ask_all(
            scripts.DIVIDE_RATES.pack(
                [TenantKeys(tenant_id).key(b"q")],
                *(self.node, nodes, SHARE_MS),
                *(f"{part:.6f}" for part in wanted.get(tenant_id, least)),
            )
            for tenant_id in sought
        )
        return {tenant_id: tuple(map(float, parts)) for tenant_id, parts in zip(sought, shares, strict=True)}
