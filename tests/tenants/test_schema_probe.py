"""Schemas are looked at and compiled in a process of their own, in a time box."""

import time
from typing import Any

import pytest

from service.protocol.errors import Invalid, TooLarge
from service.tenants import schema_probe
from service.tenants.schema_probe import Verdict, judge, probe

pytestmark = pytest.mark.anyio


async def test_the_first_that_can_not_be_is_told_by_its_path() -> None:
    await probe({})
    await probe({"$.a": {"type": "string"}, "$.b": {}})
    with pytest.raises(Invalid) as refused:
        await probe({"$.a": {}, "$.b": {"type": "strin"}, "$.c": {"type": 5}})
    assert refused.value.path == "$.b.type"
    with pytest.raises(TooLarge) as large:
        await probe({"$.a": {"enum": ["a" * 40_000]}})
    assert (large.value.limit, large.value.allowed_bytes, large.value.path) == ("max_schema_bytes", 32_768, "$.a")


async def test_what_takes_too_long_to_compile_is_refused() -> None:
    patterns: dict[str, Any] = {f"^p{n}[\\p{{L}}]{{1,9}}$": {} for n in range(500)}
    with pytest.raises(Invalid, match="too long"):
        await probe({"$.a": {"patternProperties": patterns}})


async def test_a_process_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_probe, "WALL_SECONDS", 0.001)
    started = time.monotonic()
    with pytest.raises(Invalid, match="too much"):
        await probe({"$.a": {}})
    assert time.monotonic() - started < 30


def test_the_verdict_of_what_is_well_is_empty() -> None:
    assert judge({"$.a": {"type": "string"}}) == Verdict()
