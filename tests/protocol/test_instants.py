import pytest

from service.protocol.errors import Invalid
from service.protocol.instants import LAST_INSTANT_MS, read_instant, write_instant


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-24T12:00:00Z", 1_795_521_600_000),
        ("2026-11-24t12:00:00z", 1_795_521_600_000),
        ("2026-11-24T13:30:00+01:30", 1_795_521_600_000),
        ("2026-11-24T12:00:00.1239Z", 1_795_521_600_123),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
    ],
)
def test_an_instant_is_read_in_milliseconds(text: str, at_ms: int) -> None:
    assert read_instant(text, "$.from") == at_ms


@pytest.mark.parametrize(
    "text",
    ["", "now", "0", "1795521600", "2026-11-24", "2026-11-24T12:00:00", "2026-13-01T00:00:00Z", "2026-11-24T12:00Z"],
)
def test_any_other_text_is_invalid(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_instant(text, "$.from")
    assert refused.value.path == "$.from"


def test_an_instant_is_written_to_the_second() -> None:
    assert write_instant(1_795_521_600_999) == "2026-11-24T12:00:00Z"
    assert write_instant(LAST_INSTANT_MS) == "9999-12-31T23:59:59Z"
