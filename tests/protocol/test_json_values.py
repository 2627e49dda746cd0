"""The rules for `data` and `state`, against Python's own JSON as the second opinion."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.protocol.errors import Invalid, Malformed, RoomcastError
from service.protocol.json_values import check_depth, check_json, from_msgpack, transcode
from tests.protocol.strategies import json_texts


def depth_of(value: Any) -> int:
    match value:
        case dict():
            return 1 + max(map(depth_of, value.values()), default=0)
        case list():
            return 1 + max(map(depth_of, value), default=0)
        case _:
            return 0


@given(raw=json_texts)
def test_any_json_value_passes(raw: bytes) -> None:
    check_json(raw)


@given(raw=json_texts)
def test_any_json_value_survives_messagepack(raw: bytes) -> None:
    there_and_back = from_msgpack(transcode(raw), "$.data")
    assert json.loads(there_and_back) == json.loads(raw)
    assert transcode(there_and_back) == transcode(raw)


@given(
    value=st.recursive(
        st.sampled_from(['"', "\\", "\\\\", '\\"[', "]", "[{", 1]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["[", "}", '"', "\\"]), inner),
    ),
    around=st.integers(100, 130),
)
def test_depth_is_counted_outside_of_strings(value: Any, around: int) -> None:
    for _ in range(around):
        value = [value, '\\"[[{']
    document = json.dumps(value).encode()
    if depth_of(value) <= 128:
        check_depth(document)
    else:
        with pytest.raises(Malformed):
            check_depth(document)


@given(number=st.integers(-(10**25), 10**25) | st.integers(2**64 - 3, 2**64 + 3) | st.integers(-(2**63) - 3, 3 - 2**63))
def test_an_integer_passes_exactly_if_it_has_64_bits(number: int) -> None:
    raw = b'{"a":"1",  "b":[%d]}' % number
    if -(2**63) <= number < 2**64:
        check_json(raw)
        assert msgspec.msgpack.decode(transcode(raw))["b"] == [number]
    else:
        with pytest.raises(Invalid):
            check_json(raw)


@given(
    text=st.from_regex(r"\A-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,4})?\Z"),
)
def test_a_number_passes_exactly_if_a_double_or_64_bits_hold_it(text: str) -> None:
    value = json.loads(text)
    fits = -(2**63) <= value < 2**64 if isinstance(value, int) else abs(value) != float("inf")
    if fits:
        check_json(text.encode())
    else:
        with pytest.raises(Invalid):
            check_json(text.encode())


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b'"\xff"', "malformed"),
        (b'"\xed\xa0\x80"', "malformed"),
        (b'"\xc0\xaf"', "malformed"),
        (b'"\xf4\x90\x80\x80"', "malformed"),
        (b"[" * 128 + b"]" * 128, "malformed"),
        (b"[" * 10_000 + b"]" * 10_000, "malformed"),
        (b"NaN", "malformed"),
        (b"", "malformed"),
        (b"1 2", "malformed"),
        (b"1e999", "invalid"),
        (rb'"\udead"', "invalid"),
        (rb'{"id":"\udead"}', "invalid"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_poison_over_rest_is_refused_with_its_code(raw: bytes, code: str) -> None:
    with pytest.raises(RoomcastError) as refused:
        check_json(raw)
    assert (refused.value.code, refused.value.path) == (code, "$.data" if code == "invalid" else None)


def test_a_float_stays_a_float_in_messagepack() -> None:
    assert transcode(b"1.0") == b"\xcb\x3f\xf0" + bytes(6)
    assert transcode(b"1") == b"\x01"


def test_of_equal_keys_the_last_goes_into_messagepack() -> None:
    assert transcode(b'{"a":1,"a":2}') == b"\x81\xa1a\x02"
