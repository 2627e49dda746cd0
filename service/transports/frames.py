"""RFC 6455 frames, pure: bytes from a client to messages and control frames, payloads to ready server frames.

What `FrameReader` says depends only on the bytes received so far, never on how they were split into reads.
"""

import codecs
from typing import Final, NamedTuple, Protocol

try:  # 0.1 µs a short payload in C, 0.6 in Python
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

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

_FINAL: Final = 0x80
_RESERVED_BITS: Final = 0x70
_OPCODE: Final = 0x0F
_MASKED: Final = 0x80
_LENGTH_IN_2_BYTES: Final = 126
_LENGTH_IN_8_BYTES: Final = 127
_MAX_CONTROL_BYTES: Final = 125  # RFC 6455 5.5
_WHOLE_TEXT: Final = _FINAL | TEXT
_WHOLE_BINARY: Final = _FINAL | BINARY
_LEAST_WHOLE: Final = 8  # bytes: the mask or the length in two bytes can be read without a look at the end
_Utf8Decoder: Final = codecs.getincrementaldecoder("utf-8")

# RFC 6455 7.4.1 and the IANA registry after it: the codes below 3000 which an endpoint may send.
_REGISTERED_CLOSE_CODES: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})


class FrameError(Exception):
    """The peer broke the protocol or a limit: the close `code` (1002, 1007, 1009) and the `reason` to fail with."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"close {code}: {reason}")
        self.code = code
        self.reason = reason


class FrameLimits(Protocol):
    """What one message may be; read anew for every frame."""

    @property
    def max_frame_bytes(self) -> int:
        """Payload bytes of a whole message, all its fragments together."""

    @property
    def max_fragments(self) -> int:
        """Frames of one message."""


class _Header(NamedTuple):
    """A checked frame header; `payload_at` is where its payload begins in the unread bytes."""

    opcode: int
    is_final: bool
    length: int
    mask: bytes
    payload_at: int


class _PartialMessage:
    """A data message of which some bytes or fragments are still to come."""

    __slots__ = ("decoder", "fragments", "is_final", "mask", "missing", "opcode", "payload")

    def __init__(self, opcode: int) -> None:
        self.opcode = opcode
        self.payload = bytearray()
        self.decoder = _Utf8Decoder() if opcode == TEXT else None
        self.fragments = 0
        # Of the frame that is being received: is it the last, how many payload bytes lack, the mask from the next byte.
        self.is_final = False
        self.missing = 0
        self.mask = b""

    def begin_frame(self, header: _Header, limits: FrameLimits) -> None:
        """Count one more fragment; raises FrameError 1009 before any of its payload is kept."""
        self.fragments += 1
        if self.fragments > limits.max_fragments:
            raise FrameError(TOO_LARGE, f"over {limits.max_fragments} fragments")
        if len(self.payload) + header.length > limits.max_frame_bytes:
            raise FrameError(TOO_LARGE, f"over {limits.max_frame_bytes} bytes")
        self.is_final = header.is_final
        self.missing = header.length
        self.mask = header.mask

    def receive(self, masked: bytes) -> None:
        """Take the next bytes of the frame; raises FrameError 1007 at the first byte that can't be UTF-8."""
        chunk = apply_mask(masked, self.mask)
        self.missing -= len(chunk)
        turn = len(chunk) & 3
        self.mask = self.mask[turn:] + self.mask[:turn]
        self.payload += chunk
        self.check_text(chunk)

    def check_text(self, chunk: bytes) -> None:
        """Check the text so far, or all of it once the message is whole."""
        if self.decoder is not None:
            try:
                self.decoder.decode(chunk, self.is_whole)
            except UnicodeDecodeError:
                raise FrameError(BAD_TEXT, "text is not UTF-8") from None

    @property
    def is_whole(self) -> bool:
        return self.is_final and not self.missing


class FrameReader:
    """Client-to-server bytes to messages, incrementally: `receive_data`, then `read` until `has_unread` is false.

    Keeps at most the bytes given and not yet read, one message of `max_frame_bytes`, and an unfinished header or
    control frame (131 bytes).
    """

    __slots__ = ("_ended", "_limits", "_partial", "_position", "_unread", "error", "has_unread")

    def __init__(self, limits: FrameLimits) -> None:
        self._limits = limits
        self._unread = b""
        self._position = 0
        self._partial: _PartialMessage | None = None
        self._ended = False
        #: Why reading ended for good: set by `read` after the frames before the fault; further bytes are ignored.
        self.error: FrameError | None = None
        #: Whether `read` stopped at its limit with bytes left that may hold more frames.
        self.has_unread = False

    @property
    def is_inside_message(self) -> bool:
        """Whether a frame or message was begun and lacks bytes: what a client must finish in time."""
        return self._partial is not None or self._position < len(self._unread)

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the socket, in order."""
        if not self._ended:
            if self._position < len(self._unread):
                data = self._unread[self._position :] + data
            self._unread = data
            self._position = 0
            self.has_unread = True

    def read(self, limit: int) -> list[tuple[int, bytes]]:
        """At most `limit` whole messages and control frames as (opcode, payload): TEXT (checked UTF-8), BINARY, CLOSE
        (checked code and reason), PING, PONG. After a CLOSE nothing more is read. A fault is left in `error`."""
        frames: list[tuple[int, bytes]] = []
        try:
            while True:
                if self._partial is None:
                    self._read_whole_messages(frames, limit)
                if len(frames) >= limit or self._position == len(self._unread):
                    break
                if not self._read_part(frames):
                    self.has_unread = False
                    break
        except UnicodeDecodeError:
            self.error = FrameError(BAD_TEXT, "text is not UTF-8")
        except FrameError as error:
            self.error = error
        if self.error is not None:
            self._end()
        if self._position == len(self._unread):
            self._unread, self._position, self.has_unread = b"", 0, False
        return frames

    def _read_whole_messages(self, frames: list[tuple[int, bytes]], limit: int) -> None:
        """The common case, tight: unfragmented messages, wholly here, 2 bytes to 64 KiB long. All else is left to
        `_read_part`, faults too."""
        data, position = self._unread, self._position
        end, max_bytes = len(data), self._limits.max_frame_bytes
        while end - position >= _LEAST_WHOLE and len(frames) < limit:
            first, length, payload_at = data[position], data[position + 1] - _MASKED, position + 6
            if (first != _WHOLE_TEXT and first != _WHOLE_BINARY) or length < 0:
                break
            if length >= _LENGTH_IN_2_BYTES:
                length = data[position + 2] << 8 | data[position + 3] if length == _LENGTH_IN_2_BYTES else 0
                if length < _LENGTH_IN_2_BYTES:
                    break
                payload_at += 2
            payload_end = payload_at + length
            if payload_end > end or length > max_bytes:
                break
            payload = apply_mask(data[payload_at:payload_end], data[payload_at - 4 : payload_at])
            if first == _WHOLE_BINARY:
                frames.append((BINARY, payload))
            else:
                if not payload.isascii():
                    payload.decode()
                frames.append((TEXT, payload))
            position = payload_end
        self._position = position

    def _end(self) -> None:
        self._unread, self._position, self._partial, self.has_unread, self._ended = b"", 0, None, False, True

    def _read_part(self, frames: list[tuple[int, bytes]]) -> bool:
        """One header with what follows of its payload, or more of a payload begun; False: more bytes are needed."""
        partial = self._partial
        if partial is None or not partial.missing:
            header = self._read_header()
            if header is None:
                return False
            if header.opcode >= CLOSE:
                return self._read_control(header, frames)
            partial = self._begin_frame(header)
        masked = self._unread[self._position : self._position + partial.missing]
        if partial.missing and not masked:
            return False
        self._position += len(masked)
        partial.receive(masked)
        if partial.is_whole:
            frames.append((partial.opcode, bytes(partial.payload)))
            self._partial = None
        return True

    def _begin_frame(self, header: _Header) -> _PartialMessage:
        partial = self._partial
        if header.opcode == CONTINUATION:
            if partial is None:
                raise FrameError(PROTOCOL_ERROR, "continuation of nothing")
        elif partial is not None:
            raise FrameError(PROTOCOL_ERROR, "new message inside a fragmented one")
        else:
            partial = _PartialMessage(header.opcode)
        partial.begin_frame(header, self._limits)
        self._partial = partial
        self._position = header.payload_at
        return partial

    def _read_control(self, header: _Header, frames: list[tuple[int, bytes]]) -> bool:
        end = header.payload_at + header.length
        if end > len(self._unread):
            return False
        payload = apply_mask(self._unread[header.payload_at : end], header.mask)
        if header.opcode == CLOSE:
            _check_close(payload)
        frames.append((header.opcode, payload))
        self._position = end
        if header.opcode == CLOSE:
            self._end()
        return header.opcode != CLOSE

    def _read_header(self) -> _Header | None:
        """The next header, checked as far as it has come; None: it lacks bytes."""
        data, at = self._unread, self._position
        available = len(data) - at
        if available < 2:
            return None
        first, length = data[at], data[at + 1] & ~_MASKED
        _check_first_bytes(first, data[at + 1])
        at += 2
        if length >= _LENGTH_IN_2_BYTES:
            size, least = (2, _LENGTH_IN_2_BYTES) if length == _LENGTH_IN_2_BYTES else (8, 1 << 16)
            if available < 2 + size:
                return None
            length = int.from_bytes(data[at : at + size])
            if length < least or length >> 63:
                raise FrameError(PROTOCOL_ERROR, "length not minimal or over 63 bits")  # 5.2
            at += size
        opcode = first & _OPCODE
        if length > self._limits.max_frame_bytes and opcode < CLOSE:
            raise FrameError(TOO_LARGE, f"over {self._limits.max_frame_bytes} bytes")  # before the mask has come
        if len(data) < at + 4:
            return None
        return _Header(opcode, bool(first & _FINAL), length, data[at : at + 4], at + 4)


def _check_first_bytes(first: int, second: int) -> None:
    """RFC 6455 5.1, 5.2, 5.5: what the first two bytes of a client's frame may say."""
    opcode = first & _OPCODE
    if first & _RESERVED_BITS:
        raise FrameError(PROTOCOL_ERROR, "reserved bits set")  # no extension was agreed
    if opcode not in _OPCODES:
        raise FrameError(PROTOCOL_ERROR, "reserved opcode")
    if not second & _MASKED:
        raise FrameError(PROTOCOL_ERROR, "client frame not masked")
    if opcode >= CLOSE and (not first & _FINAL or second & ~_MASKED > _MAX_CONTROL_BYTES):
        raise FrameError(PROTOCOL_ERROR, "control frame fragmented or over 125 bytes")


def _check_close(payload: bytes) -> None:
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
    if length < _LENGTH_IN_2_BYTES:
        return bytes((_FINAL | opcode, length)) + payload
    if length < 1 << 16:
        return bytes((_FINAL | opcode, _LENGTH_IN_2_BYTES)) + length.to_bytes(2) + payload
    return bytes((_FINAL | opcode, _LENGTH_IN_8_BYTES)) + length.to_bytes(8) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """A ready close frame; the reason is cut to the 123 bytes that fit. `NO_CODE` makes an empty one."""
    if code == NO_CODE:
        return frame(b"", CLOSE)
    text = reason.encode()[: _MAX_CONTROL_BYTES - 2].decode(errors="ignore").encode()
    return frame(code.to_bytes(2) + text, CLOSE)
