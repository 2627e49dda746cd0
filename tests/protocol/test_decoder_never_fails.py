"""Whatever is sent, the decoder answers with a command or one of its three refusals."""

from typing import get_args

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.protocol.codec import check_json, decode_command, encode_event, error_event, salvage, transcode
from service.protocol.commands import WebSocketCommand
from service.protocol.errors import Invalid, Malformed, RoomcastError, UnknownCommand
from tests.protocol.strategies import instances, json_values

valid_payloads = st.one_of([instances(command) for command in get_args(WebSocketCommand)]).map(msgspec.json.encode)


def answered(payload: bytes, binary: bool) -> None:
    """Decode or refuse; whatever was decoded can be sent on, and whatever was refused can be answered."""
    command_id, room = salvage(payload, binary)
    try:
        command = decode_command(payload, binary)
    except (Malformed, Invalid, UnknownCommand) as refused:
        refused.room = room
        for form in (False, True):
            encode_event(error_event(refused, command_id), form)
        return
    if not binary and not is_utf8(payload):
        return  # which the caller of the decoder checks
    assert command.id == command_id
    transcode(msgspec.json.encode(command))
    for carried in ("data", "state"):
        raw = getattr(command, carried, None)
        if isinstance(raw, msgspec.Raw):
            check_json(bytes(raw))


def is_utf8(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def damaged(payload: bytes, edits: list[tuple[int, bytes]]) -> bytes:
    for place, insertion in edits:
        at = place % (len(payload) + 1)
        payload = payload[:at] + insertion + payload[at + place % 3 :]
    return payload


fragments = st.sampled_from(
    [b'"', b"\\", b"\\ud800", b"{", b"}", b"[", b"]", b",", b":", b"0", b"9" * 20, b"1e999", b"NaN", b"\xff", b"\x00",
     b"\n", b'"type":', b'"room":', b"\xc1", b"\xc4\x01a", b"\xd4\xff\x00", b"\x81\x01",
     b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"]
)  # fmt: skip
edits = st.lists(st.tuples(st.integers(0, 10_000), fragments | st.binary(max_size=3)), min_size=1, max_size=4)


@given(payload=st.binary(max_size=200), binary=st.booleans())
@example(payload=b"\x81\xa4type\xa4ping", binary=True)
def test_random_bytes_are_decoded_or_refused(payload: bytes, binary: bool) -> None:
    answered(payload, binary)


@settings(max_examples=200)
@given(payload=valid_payloads, changes=edits)
def test_damaged_json_is_decoded_or_refused(payload: bytes, changes: list[tuple[int, bytes]]) -> None:
    answered(damaged(payload, changes), binary=False)


@settings(max_examples=200)
@given(payload=valid_payloads.map(transcode), changes=edits)
def test_damaged_messagepack_is_decoded_or_refused(payload: bytes, changes: list[tuple[int, bytes]]) -> None:
    answered(damaged(payload, changes), binary=True)


@given(
    members=st.dictionaries(
        st.sampled_from(["type", "id", "room", "data", "user", "since", "limit", "token", "more"]),
        json_values | st.sampled_from(["publish", "join", "ping", "chat", "history", 5, "e:5"]),
    )
)
def test_objects_of_any_values_are_decoded_or_refused(members: dict[str, object]) -> None:
    answered(msgspec.json.encode(members), binary=False)
    answered(msgspec.msgpack.encode(members), binary=True)


@given(raw=st.binary(max_size=100) | json_values.map(msgspec.json.encode))
def test_a_rest_value_passes_or_is_refused_with_its_path(raw: bytes) -> None:
    path: str | None = None
    try:
        check_json(raw, "$.messages[3].data")
    except RoomcastError as refused:
        path = refused.path
    else:
        transcode(raw)
    assert path in (None, "$.messages[3].data")
