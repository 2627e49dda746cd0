"""A short round of each row of the fault table; the long ones are `make faults`."""

import random

import pytest

from tests.faults.rounds import find_rows, run_round
from tests.faults.run import Row

pytestmark = pytest.mark.alone


@pytest.mark.parametrize("row", find_rows().values(), ids=find_rows())
def test_a_short_round_keeps_every_promise(row: Row) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    ended = run_round(row, seed, row.short_times, is_short=True)
    assert ended.outcome.broken == [], f"seed {seed}"
    assert ended.outcome.times > 0
