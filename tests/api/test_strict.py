import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api import strict
from service.api.strict import StrictRequest, decode_body, limit_body
from service.protocol.errors import Invalid, Malformed, RoomcastError, TooLarge
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


# Receiving


def request_of(receive: Callable[[], Awaitable[Any]], max_bytes: int | None = 1_000, **headers: str) -> StrictRequest:
    encoded = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope: Any = {"type": "http", "method": "POST", "path": "/", "headers": encoded, "state": {}, "extensions": {}}
    request = StrictRequest(scope, receive=receive)
    limit_body(request, max_bytes)
    return request


def chunks(*parts: bytes) -> Callable[[], Awaitable[Any]]:
    """What a server hands over, chunk by chunk; then the client is gone."""
    events = [
        {"type": "http.request", "body": part, "more_body": index + 1 < len(parts)} for index, part in enumerate(parts)
    ]
    left = iter([*events, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(left)

    return receive


@pytest.mark.anyio
async def test_a_body_is_joined_from_its_chunks_up_to_the_limit() -> None:
    request = request_of(chunks(b"a" * 600, b"", b"b" * 400))
    assert await request.body() == b"a" * 600 + b"b" * 400
    assert await request_of(chunks(b"a" * 5_000), max_bytes=None).body() == b"a" * 5_000


@pytest.mark.anyio
async def test_a_body_over_the_limit_is_read_to_its_end_and_refused() -> None:
    request = request_of(chunks(b"a" * 1_000, b"b", b"c" * 9_000), content_length="10001")
    with pytest.raises(TooLarge):
        await request.body()
    assert not strict.leaves_body_unread(request)


@pytest.mark.anyio
async def test_a_body_without_end_is_given_up_and_never_kept() -> None:
    handed_over = 0

    async def receive() -> Any:
        nonlocal handed_over
        handed_over += 1_000_000
        return {"type": "http.request", "body": b"x" * 1_000_000, "more_body": True}

    request = request_of(receive, transfer_encoding="chunked")
    with pytest.raises(TooLarge):
        await request.body()
    assert handed_over < 10_000_000
    assert strict.leaves_body_unread(request)


@pytest.mark.anyio
async def test_a_declared_length_far_over_the_limit_is_refused_unread() -> None:
    async def receive() -> Any:
        raise AssertionError("nothing is read")

    with pytest.raises(TooLarge):
        await request_of(receive, content_length="9" * 30).body()


@pytest.mark.anyio
async def test_a_body_that_stays_out_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict, "BODY_TIMEOUT_SECONDS", 0.01)

    async def receive() -> Any:
        await anyio.sleep_forever()

    with pytest.raises(Invalid):
        await request_of(receive).body()


@pytest.mark.anyio
async def test_a_body_that_ends_early_is_invalid() -> None:
    cut_off = chunks(b"x")

    async def receive() -> Any:
        return {**await cut_off(), "more_body": True}

    with pytest.raises(Invalid):
        await request_of(receive).body()


@pytest.mark.anyio
async def test_without_a_limit_set_there_is_no_body() -> None:
    scope: Any = {"type": "http", "method": "POST", "path": "/", "headers": [], "state": {}, "extensions": {}}
    with pytest.raises(TooLarge):
        await StrictRequest(scope, receive=chunks(b"x")).body()
