"""What this node may take of its tenants' rates, divided anew each second among the nodes that ask for them.

A node alone has the whole. Of several each has an even share, until one asks more than that of a tenant: then the
tenant's rates are divided by demand, by all nodes, until nobody does. While Redis is away the last shares stay.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Final

import structlog

from service.brokers.broker import Broker
from service.protocol.errors import RoomcastError
from service.rooms.budgets import WHOLE, Rates
from service.rooms.connection_manager import ConnectionManager

log = structlog.get_logger()

DIVIDE_SECONDS: Final = 1.0
# What a node wants of what it was asked for: demand grows within the second for which a share is.
HEADROOM: Final = 1.25
# What a node wants when it was asked for nothing, in even shares: enough for a beginning.
LEAST: Final = 0.1
# Demand that ended is forgotten by halves, so that one quiet second does not cost a share.
FORGOTTEN_PART: Final = 0.5
# Looking at a tenant costs 2 µs; so many, and the loop has its turn.
TENANTS_PER_TURN: Final = 500


class RateShares:
    """One node's shares. `managers`: of the tenants that are here, by id; the node's own."""

    def __init__(self, broker: Broker, managers: Mapping[str, ConnectionManager]) -> None:
        self._broker = broker
        self._managers = managers
        self._even = WHOLE
        self._shares: dict[str, Rates] = {}
        self._wanted: dict[str, Rates] = {}
        self._looked_at = time.monotonic()

    def of(self, tenant_id: str) -> Rates:
        """What this node may take of a tenant's rates now, as parts of the limits."""
        return self._shares.get(tenant_id, self._even)

    async def keep(self) -> None:
        """Divide once a second, until cancelled."""
        while True:
            await asyncio.sleep(DIVIDE_SECONDS)
            try:
                await self.divide()
            except RoomcastError as error:
                log.info("rates were not divided: the last shares stay", reason=error.message)

    async def divide(self) -> None:
        """Tell what was asked here, and take the shares that this gives. Raises Unavailable: the last ones stay."""
        nodes = max(1, self._broker.node_count())
        await self._look_at_demand()
        if nodes > 1:
            greedy = [tenant_id for tenant_id, wanted in self._wanted.items() if max(wanted) > 1 / nodes]
            least = [LEAST / nodes] * len(WHOLE)
            shares = await self._broker.divide_rates(nodes, self._wanted, greedy, least)
            self._shares = {tenant_id: Rates(*parts) for tenant_id, parts in shares.items()}
        else:
            self._shares = {}
        self._even = Rates(*(1 / nodes for _ in WHOLE))
        for number, manager in enumerate(list(self._managers.values())):
            manager.budgets.divide(self.of(manager.tenant.id))
            if number % TENANTS_PER_TURN == TENANTS_PER_TURN - 1:
                await asyncio.sleep(0)

    async def _look_at_demand(self) -> None:
        now = time.monotonic()
        seconds, self._looked_at = max(DIVIDE_SECONDS, now - self._looked_at), now
        least = LEAST / max(1, self._broker.node_count())
        wanted: dict[str, Rates] = {}
        for number, manager in enumerate(list(self._managers.values())):
            demand = manager.budgets.take_demand(seconds)
            before = self._wanted.get(manager.tenant.id)
            if demand is not None or (before is not None and max(before) > least):
                pairs = zip(demand or NOTHING, before or NOTHING, strict=True)
                wanted[manager.tenant.id] = Rates(
                    *(min(1.0, max(asked * HEADROOM, was * FORGOTTEN_PART, least)) for asked, was in pairs)
                )
            if number % TENANTS_PER_TURN == TENANTS_PER_TURN - 1:
                await asyncio.sleep(0)
        self._wanted = wanted


NOTHING: Final = Rates(0.0, 0.0, 0.0, 0.0)
