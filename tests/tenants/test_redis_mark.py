import pytest

from service.tenants.storage import Storage

pytestmark = pytest.mark.anyio


async def test_the_highest_mark_is_kept_whoever_notes_one_last(storage: Storage) -> None:
    assert await storage.redis_mark.read() == (0, 0)
    for mark, kept in (
        ((1_764_000_000, 9), (1_764_000_000, 9)),
        ((1_764_000_000, 10), (1_764_000_000, 10)),
        ((1_764_000_000, 9), (1_764_000_000, 10)),
        ((999_999_999, 11), (1_764_000_000, 10)),
        ((1_764_000_001, 0), (1_764_000_001, 0)),
    ):
        await storage.redis_mark.note(mark)
        assert await storage.redis_mark.read() == kept
