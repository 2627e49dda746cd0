import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.strict import decode_body
from service.protocol.errors import Invalid, Malformed, RoomcastError
from service.protocol.resources import BatchBody, PublishBody, TokenBody

publish = msgspec.json.Decoder(PublishBody)
batch = msgspec.json.Decoder(BatchBody)
token = msgspec.json.Decoder(TokenBody)


@pytest.mark.parametrize(
    ("decoder", "body", "path"),
    [
        (publish, b"{}", "$.data"),
        (publish, b'{"data":1,"nmae":"x"}', "$.nmae"),
        (publish, b'{"data":1,"name":5}', "$.name"),
        (publish, b'{"data":1,"name":"a\\u0000b"}', "$.name"),
        (publish, b'{"data":1,"key":""}', "$.key"),
        (publish, b'{"data":1,"exclude":["short"]}', "$.exclude[0]"),
        (publish, b'{"data":1e999}', "$.data"),
        (publish, b'{"data":[18446744073709551616]}', "$.data"),
        (publish, b'{"data":"\\ud800"}', "$.data"),
        (publish, b"[]", "$"),
        (batch, b'{"messages":[{"room":"chat\\n","data":1}]}', "$.messages[0].room"),
        (batch, b'{"messages":[{"room":"a","data":1},{"room":"b","data":[-1e400]}]}', "$.messages[1].data"),
        (token, b'{"user":"u","ttl_seconds":"60"}', "$.ttl_seconds"),
        (token, b'{"user":"a/b"}', "$.user"),
    ],
)
def test_what_does_not_fit_is_invalid_and_says_where(decoder: Any, body: bytes, path: str) -> None:
    with pytest.raises(Invalid) as refused:
        decode_body(decoder, body)
    assert refused.value.path == path


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"data":NaN}',
        b'{"data":"\xff"}',
        b'{"data":"\xed\xa0\x80"}',
        b'{"data":1} {"data":2}',
        b'\xef\xbb\xbf{"data":1}',
        b'{"data":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"data":' + b"[" * 128 + b"]" * 128 + b"}",
        b"\xff\xfe{\x00}\x00",
    ],
)
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        decode_body(publish, body)


def test_data_passes_byte_for_byte() -> None:
    data = b'{"b": 1.0,\n "a": 1.00, "a": [ ] , "\\u00e4": "\xc3\xa4"}'
    assert bytes(decode_body(publish, b'{"data": ' + data + b"}").data) == data


def test_data_may_be_nested_up_to_128_levels_with_the_body() -> None:
    data = b"[" * 127 + b"]" * 127
    assert bytes(decode_body(publish, b'{"data":' + data + b"}").data) == data


@given(body=st.binary(max_size=300))
def test_no_bytes_raise_anything_but_our_refusals(body: bytes) -> None:
    with pytest.raises(RoomcastError):
        decode_body(publish, body)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**63), 2**64 - 1)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(value=json_values)
def test_every_json_value_is_taken_as_data(value: Any) -> None:
    data = json.dumps(value, ensure_ascii=False).encode()
    assert bytes(decode_body(publish, b'{"data":' + data + b"}").data) == data
