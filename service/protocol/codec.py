"""From payloads to commands and from events to frames, in JSON and MessagePack. Pure: no await, no clock.

The law: whatever the bytes are, `decode_command` gives a checked command or raises one of Malformed, Invalid and
UnknownCommand, and every `Raw` in a command or an event is JSON that was checked. Messages name fields, never what a
payload holds.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from struct import Struct as Packing
from typing import Any, get_args

import msgspec
from msgspec import UNSET, Raw, UnsetType

from service.protocol.commands import Join, Publish, Send, SetState, Signal, WebSocketCommand
from service.protocol.errors import Invalid, Malformed, RoomcastError, UnknownCommand, problem
from service.protocol.events import ErrorEvent
from service.protocol.identifiers import CommandId, RoomName, is_room
from service.protocol.json_values import (
    NOT_UTF8,
    TOO_DEEP,
    check_depth,
    check_json,
    check_msgpack_value,
    check_numbers,
    from_msgpack,
    may_hold_big_numbers,
    misread,
    read_leniently,
    transcode,
    without_inner_containers,
)

__all__ = [
    "check_json",
    "decode_command",
    "encode_event",
    "error_event",
    "event_frame",
    "frame",
    "problem_body",
    "refusal",
    "salvage",
    "transcode",
]

_TEXT_FRAME = 0x81  # RFC 6455, section 5.2: FIN and opcode 1
_BINARY_FRAME = 0x82
_medium_header = Packing("!BBH").pack
_long_header = Packing("!BBQ").pack

# Nesting over 128 levels takes 258 bytes. A Raw keeps the whole frame that it was cut from: so much may stay of one.
_SHORT_BYTES = 256

_CARRIED: dict[type, str] = {Publish: "data", Signal: "data", Send: "data", Join: "state", SetState: "state"}

_decode_json: Callable[[bytes], WebSocketCommand] = msgspec.json.Decoder(WebSocketCommand).decode
_decode_msgpack: Callable[[bytes], WebSocketCommand] = msgspec.msgpack.Decoder(WebSocketCommand).decode
_encode_json = msgspec.json.Encoder().encode
_is_room = lru_cache(maxsize=4096)(is_room)
_skip_json = msgspec.json.Decoder(Raw).decode
_read_msgpack = msgspec.msgpack.Decoder().decode
_skip_msgpack = msgspec.msgpack.Decoder(Raw).decode
_msgpack_members = msgspec.msgpack.Decoder(dict[Any, Raw]).decode

_TAGS = frozenset(command.__struct_config__.tag for command in get_args(WebSocketCommand))
_ERROR_FIELDS = ("path", "room", "limit", "scope", "retry_after_ms", "incident")

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_VALIDATION_MESSAGE = re.compile(r"(.*?)(?: - at (?:`key` in )?`([^`]*)`)?", re.DOTALL)
_FIELD_MESSAGE = re.compile(r"Object (missing required|contains unknown) field `(.*)`", re.DOTALL)
_FIELD_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")


def frame(payload: bytes, binary: bool) -> bytes:
    """A ready server frame (RFC 6455, section 5.2): final, unmasked, text or binary."""
    first = _BINARY_FRAME if binary else _TEXT_FRAME
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65_536:
        return _medium_header(first, 126, size) + payload
    return _long_header(first, 127, size) + payload


def decode_command(payload: bytes, binary: bool) -> WebSocketCommand:
    """One command from a whole message: JSON text that is UTF-8 (the caller checked), or MessagePack if `binary`.

    Each Raw in it is checked JSON, byte for byte as sent in JSON, and keeps of the frame at most 256 bytes or twice
    its own size in memory.
    Raises Malformed, Invalid (with `path`) or UnknownCommand, and nothing else.
    """
    try:
        command = _decode_msgpack(payload) if binary else _decode_json(payload)
    except _UNREADABLE as error:
        raise refusal(payload, binary, error) from None
    if (room := getattr(command, "room", None)) is not None and not _is_room(room):
        raise Invalid("expected the name of a room", "$.room")
    if binary:
        carried = _CARRIED.get(type(command))
        raw = getattr(command, carried) if carried else UNSET
        if raw is not UNSET:
            setattr(command, str(carried), Raw(from_msgpack(bytes(raw), f"$.{carried}")))
        return command
    if len(payload) > _SHORT_BYTES or may_hold_big_numbers(payload):
        _check_carried(command, payload)
    return command


def _check_carried(command: WebSocketCommand, payload: bytes) -> None:
    check_depth(payload)
    carried = _CARRIED.get(type(command))
    raw = getattr(command, carried) if carried else UNSET
    if raw is UNSET:
        return
    if may_hold_big_numbers(payload):
        check_numbers(bytes(raw), f"$.{carried}")
    if len(payload) > _SHORT_BYTES and len(payload) > 2 * memoryview(raw).nbytes:
        setattr(command, str(carried), raw.copy())


def refusal(payload: bytes, binary: bool, error: Exception) -> RoomcastError:
    """Why a frame or a body could not be decoded, from what msgspec raised: Malformed, Invalid or UnknownCommand.

    msgspec stops at the first mistake, so the rest is read here: what is no JSON at all is Malformed, whatever its
    `type` says.
    """
    try:
        if binary:
            _skip_msgpack(payload)
            check_msgpack_nesting(payload)
        else:
            check_depth(payload)
            _skip_json(payload)
    except Malformed as nested:
        return nested
    except RecursionError:
        return Malformed(TOO_DEEP)
    except msgspec.DecodeError as unreadable:
        return Malformed(str(unreadable)) if binary else misread(payload, unreadable)
    if isinstance(error, msgspec.ValidationError):
        return _invalid(payload, binary, str(error))
    return Malformed(NOT_UTF8 if isinstance(error, UnicodeDecodeError) else str(error))


def check_msgpack_nesting(payload: bytes) -> None:
    """Raise Malformed if MessagePack is nested over 128 levels or holds text that is not UTF-8; nothing else counts."""
    try:
        check_msgpack_value(_read_msgpack(payload), "$", level=1)
    except UnicodeDecodeError:
        raise Malformed(NOT_UTF8) from None
    except (Invalid, msgspec.DecodeError):
        return


def _invalid(payload: bytes, binary: bool, sentence: str) -> RoomcastError:
    said = _VALIDATION_MESSAGE.fullmatch(sentence)
    message, path = (said[1], said[2] or "$") if said else ("does not fit its type", "$")
    if message.startswith(("Invalid value", "Invalid enum value")):  # msgspec repeats the value
        if path == "$.type" and _members(payload, binary).get("type") not in _TAGS:
            return UnknownCommand()
        return Invalid("not one of the values that are allowed", path)
    if (field := _FIELD_MESSAGE.fullmatch(message)) is not None:
        known = _FIELD_NAME.fullmatch(field[2]) is not None
        message = "a required field is missing" if field[1] == "missing required" else "there is no such field"
        path = f"{path}.{field[2]}" if known else path
    return Invalid(message, path)


def salvage(payload: bytes, binary: bool) -> tuple[CommandId | UnsetType, str | None]:
    """The valid `id` and the valid `room` of a message that is no command, for the error that answers it.

    (UNSET, None) if it is no object, or MessagePack that is nested so deep that nothing reads it.
    """
    members = _members(payload, binary)
    command_id: CommandId | UnsetType = UNSET
    room: str | None = None
    with suppress(msgspec.ValidationError, UnicodeEncodeError):
        held = msgspec.convert(members.get("id"), CommandId)
        str(held).encode()  # JSON can escape a lone surrogate, and no answer can repeat it
        command_id = held
    with suppress(msgspec.ValidationError):
        room = msgspec.convert(members.get("room"), RoomName)
    return command_id, room


def _members(payload: bytes, binary: bool) -> dict[str, object]:
    """The `type`, `id` and `room` of an object, whatever else is wrong with it; of equal keys the last."""
    try:
        if not binary:
            return _json_members(payload)
        raws = _msgpack_members(payload)
    except (ValueError, *_UNREADABLE):
        return {}
    members: dict[str, object] = {}
    for name in ("type", "id", "room"):
        with suppress(KeyError, *_UNREADABLE):
            members[name] = _read_msgpack(raws[name])
    return members


def _json_members(payload: bytes) -> dict[str, object]:
    try:
        value = read_leniently(payload)
    except RecursionError:
        value = read_leniently(without_inner_containers(payload))
    return value if isinstance(value, dict) else {}


def encode_event(event: msgspec.Struct, binary: bool) -> bytes:
    """The payload of an event: JSON with each Raw as it is, or MessagePack with each Raw transcoded."""
    payload = _encode_json(event)
    return transcode(payload) if binary else payload


def event_frame(event: msgspec.Struct, binary: bool) -> bytes:
    """An event as a ready server frame."""
    return frame(encode_event(event, binary), binary)


def error_event(error: RoomcastError, command_id: CommandId | UnsetType = UNSET) -> ErrorEvent:
    """The event that tells a client of a refusal; `command_id` is the `id` of the command that it answers."""
    fields = {name: value for name in _ERROR_FIELDS if (value := getattr(error, name)) is not None}
    return ErrorEvent(id=command_id, code=error.code, message=error.message, **fields)


def problem_body(error: RoomcastError, status: int | None = None) -> bytes:
    """The `application/problem+json` body of a refusal; `status` overrides the code's own."""
    return _encode_json(problem(error, status))
