"""Every error, close code and limit is provoked by a test over a real socket or request, or waits for something."""

from tests.contract.rows import provoked, rows
from tests.contract.waiting import WAITING


def test_every_row_is_provoked_or_waits() -> None:
    missing = sorted(rows() - set(provoked()) - set(WAITING))
    assert not missing, "no test is marked to provoke: " + ", ".join(missing)


def test_what_waits_stands_in_a_table() -> None:
    assert set(WAITING) <= rows()


def test_what_is_provoked_does_not_wait() -> None:
    assert not set(WAITING) & set(provoked())


def test_every_mark_names_a_row() -> None:
    strangers = {row: places for row, places in provoked().items() if row not in rows()}
    assert not strangers
