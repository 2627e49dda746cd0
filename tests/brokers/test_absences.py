import asyncio

import pytest

from service.brokers.presence import Absences
from service.protocol.errors import Unavailable
from tests.brokers.conftest import Node

pytestmark = pytest.mark.anyio

LONG_MS = 60_000


async def test_a_grace_that_begins_while_another_ones_end_is_asked_for_is_not_forgotten(a: Node) -> None:
    address, absences = a.address("T1", "chat"), Absences(a._link)
    absences.note(address, 0)
    ending = asyncio.create_task(absences.end())
    for _ in range(2):
        await asyncio.sleep(0)  # the question is on its way
    absences.note(address, LONG_MS)
    await ending
    assert absences._due
    absences.note(address, 0)
    a._link.abort()
    with pytest.raises(Unavailable):
        await absences.end()
    assert absences._due, "it is ended later"
