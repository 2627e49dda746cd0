"""Where commands and replies of RESP2 begin and end."""


class Framer:
    """Cuts a stream of RESP2 into commands, or replies, as they are."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._at = 0  # up to here the first frame is known
        self._pending = 1  # values that it still wants

    def feed(self, data: bytes) -> list[bytes]:
        """Whole frames that end in these bytes."""
        held = self._data
        held += data
        frames: list[bytes] = []
        begin, at, pending = 0, self._at, self._pending
        while (line_end := held.find(b"\r\n", at)) >= 0:
            after = line_end + 2
            kind = held[at]
            if kind == 0x2A:  # *
                pending += max(0, int(held[at + 1 : line_end]))
            elif kind == 0x24 and (size := int(held[at + 1 : line_end])) >= 0:  # $
                after += size + 2
                if after > len(held):
                    break
            at = after
            pending -= 1
            if not pending:
                frames.append(bytes(held[begin:at]))
                begin, pending = at, 1
        del held[:begin]
        self._at, self._pending = at - begin, pending
        return frames
