"""A client's bytes to whole messages and control frames, pure and incremental.

What `FrameReader` says depends only on the bytes received so far, never on how they were split into reads.
"""

import codecs
from typing import Final, Protocol

from service.transports.frames import (
    BAD_TEXT,
    BINARY,
    CLOSE,
    CONTINUATION,
    FINAL,
    LENGTH_IN_2_BYTES,
    MASKED,
    PROTOCOL_ERROR,
    TEXT,
    TOO_LARGE,
    FrameError,
    Header,
    check_close,
    read_header,
)

try:  # 0.1 µs a short payload in C, 0.6 in Python
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

_WHOLE_TEXT: Final = FINAL | TEXT
_WHOLE_BINARY: Final = FINAL | BINARY
_LEAST_WHOLE: Final = 8  # bytes: the mask or the length in two bytes can be read without a look at the end
_Utf8Decoder: Final = codecs.getincrementaldecoder("utf-8")


class FrameLimits(Protocol):
    """What one message may be; read anew for every frame."""

    @property
    def max_frame_bytes(self) -> int:
        """Payload bytes of a whole message, all its fragments together."""

    @property
    def max_fragments(self) -> int:
        """Frames of one message."""


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

    def begin_frame(self, header: Header, limits: FrameLimits) -> None:
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
            first, length, payload_at = data[position], data[position + 1] - MASKED, position + 6
            if (first != _WHOLE_TEXT and first != _WHOLE_BINARY) or length < 0:
                break
            if length >= LENGTH_IN_2_BYTES:
                length = data[position + 2] << 8 | data[position + 3] if length == LENGTH_IN_2_BYTES else 0
                if length < LENGTH_IN_2_BYTES:
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
            header = read_header(self._unread, self._position, self._limits.max_frame_bytes)
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

    def _begin_frame(self, header: Header) -> _PartialMessage:
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

    def _read_control(self, header: Header, frames: list[tuple[int, bytes]]) -> bool:
        end = header.payload_at + header.length
        if end > len(self._unread):
            return False
        payload = apply_mask(self._unread[header.payload_at : end], header.mask)
        if header.opcode == CLOSE:
            check_close(payload)
        frames.append((header.opcode, payload))
        self._position = end
        if header.opcode == CLOSE:
            self._end()
        return header.opcode != CLOSE
