"""How far the data in Redis has come, as nodes saw it last: a node that starts finds out by it what Redis has lost."""

from typing import Final

from sqlalchemy.dialects import postgresql, sqlite

from service.tenants.audit import SYSTEM
from service.tenants.tables import SystemRow
from service.tenants.transactions import Transactions

_KEY: Final = "redis_mark"
_DIGITS: Final = 20  # of each number: so texts compare as the numbers do


class RedisMark:
    """One row of the database. A mark is (generation, pulse); the higher tuple is the later one."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def read(self) -> tuple[int, int]:
        """The highest mark that was noted; (0, 0) before the first. Raises Unavailable."""
        async with self._transactions.read() as session:
            row = await session.get(SystemRow, _KEY)
        return (int(row.value[:_DIGITS]), int(row.value[_DIGITS:])) if row is not None else (0, 0)

    async def note(self, mark: tuple[int, int]) -> None:
        """Keep a mark, unless a higher one is kept. Raises Unavailable."""
        value = "".join(f"{number:0{_DIGITS}}" for number in mark)
        async with self._transactions.write(SYSTEM) as write:
            dialect = postgresql if write.session.get_bind().dialect.name == "postgresql" else sqlite
            statement = dialect.insert(SystemRow).values(key=_KEY, value=value)
            new = statement.excluded.value
            await write.session.execute(
                statement.on_conflict_do_update(
                    index_elements=[SystemRow.key], set_={"value": new}, where=SystemRow.value < new
                )
            )
