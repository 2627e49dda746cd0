"""RFC 6455 frames, pure: a client's frame headers and close payloads read and checked, payloads to ready server frames.

`frame_reader` makes messages of them.
"""

from typing import Final, NamedTuple

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA
_OPCODES: Final = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})

PROTOCOL_ERROR: Final = 1002
BAD_TEXT: Final = 1007
TOO_LARGE: Final = 1009
NO_CODE: Final = 1005  # RFC 6455 7.4.1: stands for "a close frame without a code", never on the wire

FINAL: Final = 0x80
_RESERVED_BITS: Final = 0x70
_OPCODE: Final = 0x0F
MASKED: Final = 0x80
LENGTH_IN_2_BYTES: Final = 126
LENGTH_IN_8_BYTES: Final = 127
_MAX_CONTROL_BYTES: Final = 125  # RFC 6455 5.5

# RFC 6455 7.4.1 and the IANA registry after it: the codes below 3000 which an endpoint may send.
_REGISTERED_CLOSE_CODES: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})


class FrameError(Exception):
    """The peer broke the protocol or a limit: the close `code` (1002, 1007, 1009) and the `reason` to fail with."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"close {code}: {reason}")
        self.code = code
        self.reason = reason


class Header(NamedTuple):
    """A checked frame header; `payload_at` is where its payload begins in the unread bytes."""

    opcode: int
    is_final: bool
    length: int
    mask: bytes
    payload_at: int


def read_header(data: bytes, at: int, max_bytes: int) -> Header | None:
    """The header at `at`, checked as far as it has come: FrameError 1002, or 1009 for a data frame over `max_bytes`,
    before any of its payload. None: it lacks bytes."""
    available = len(data) - at
    if available < 2:
        return None
    first, length = data[at], data[at + 1] & ~MASKED
    _check_first_bytes(first, data[at + 1])
    at += 2
    if length >= LENGTH_IN_2_BYTES:
        size, least = (2, LENGTH_IN_2_BYTES) if length == LENGTH_IN_2_BYTES else (8, 1 << 16)
        if available < 2 + size:
            return None
        length = int.from_bytes(data[at : at + size])
        if length < least or length >> 63:
            raise FrameError(PROTOCOL_ERROR, "length not minimal or over 63 bits")  # 5.2
        at += size
    opcode = first & _OPCODE
    if length > max_bytes and opcode < CLOSE:
        raise FrameError(TOO_LARGE, f"over {max_bytes} bytes")  # before the mask has come
    if len(data) < at + 4:
        return None
    return Header(opcode, bool(first & FINAL), length, data[at : at + 4], at + 4)


def _check_first_bytes(first: int, second: int) -> None:
    """RFC 6455 5.1, 5.2, 5.5: what the first two bytes of a client's frame may say."""
    opcode = first & _OPCODE
    if first & _RESERVED_BITS:
        raise FrameError(PROTOCOL_ERROR, "reserved bits set")  # no extension was agreed
    if opcode not in _OPCODES:
        raise FrameError(PROTOCOL_ERROR, "reserved opcode")
    if not second & MASKED:
        raise FrameError(PROTOCOL_ERROR, "client frame not masked")
    if opcode >= CLOSE and (not first & FINAL or second & ~MASKED > _MAX_CONTROL_BYTES):
        raise FrameError(PROTOCOL_ERROR, "control frame fragmented or over 125 bytes")


def check_close(payload: bytes) -> None:
    """RFC 6455 5.5.1, 7.4: empty, or a code that may be sent and a reason in UTF-8."""
    if not payload:
        return
    code = close_code(payload)
    if len(payload) == 1 or (code not in _REGISTERED_CLOSE_CODES and not 3000 <= code <= 4999):
        raise FrameError(PROTOCOL_ERROR, "bad close code")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise FrameError(BAD_TEXT, "close reason is not UTF-8") from None


def close_code(payload: bytes) -> int:
    """The code in a close frame's payload; 1005 when it has none."""
    return int.from_bytes(payload[:2]) if payload else NO_CODE


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A ready, final, unmasked server frame; the caller keeps control payloads within 125 bytes."""
    length = len(payload)
    if length < LENGTH_IN_2_BYTES:
        return bytes((FINAL | opcode, length)) + payload
    if length < 1 << 16:
        return bytes((FINAL | opcode, LENGTH_IN_2_BYTES)) + length.to_bytes(2) + payload
    return bytes((FINAL | opcode, LENGTH_IN_8_BYTES)) + length.to_bytes(8) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """A ready close frame; the reason is cut to the 123 bytes that fit. `NO_CODE` makes an empty one."""
    if code == NO_CODE:
        return frame(b"", CLOSE)
    text = reason.encode()[: _MAX_CONTROL_BYTES - 2].decode(errors="ignore").encode()
    return frame(code.to_bytes(2) + text, CLOSE)
