"""The contracts of tenants in SQL."""

from sqlalchemy import select

from service.tenants.contract import Contract
from service.tenants.rows import read_room_types
from service.tenants.tables import RoomTypeRow
from service.tenants.transactions import Transactions


class StoredContracts:
    """Contracts, each looked up under its tenant's internal id."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def read(self, tenant_id: str) -> Contract:
        """The contract in force, with its version; without room types if there are none, or no such tenant."""
        mine = select(RoomTypeRow).where(RoomTypeRow.tenant_id == tenant_id)
        async with self._transactions.read() as session:
            types = read_room_types(await session.scalars(mine)).types
        return Contract(version=0, room_types=dict(types))
