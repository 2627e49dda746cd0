from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.transports.frame_reader import FrameReader
from service.transports.frames import BINARY, CLOSE, CONTINUATION, NO_CODE, PING, PONG, TEXT, close_frame, frame
from service.transports.socket_rules import SocketRules
from tests.support.raw_socket import client_frame, client_header

RULES = SocketRules(max_frame_bytes=1_000)
EURO = "€".encode()


def read(*parts: bytes, rules: SocketRules = RULES, limit: int = 7) -> tuple[list[tuple[int, bytes]], int | None]:
    """All frames of the parts, given one after another, and the close code of the fault that ended them."""
    reader = FrameReader(rules)
    frames = []
    for part in parts:
        reader.receive_data(part)
        while reader.has_unread:
            frames += reader.read(limit)
    return frames, reader.error.code if reader.error else None


def drip(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


ODD_FRAMES = [
    client_frame(b"", TEXT),
    client_frame(EURO * 3),
    client_frame(EURO[:2]),
    client_frame(EURO[:1], final=False),
    client_frame(EURO[1:], CONTINUATION),
    client_frame(b"\xff", final=False),
    client_frame(b"part", BINARY, final=False),
    client_frame(b"more", CONTINUATION, final=False),
    client_frame(b"\xf4\x90\x80\x80"),
    client_frame(b"x" * 126),
    client_frame(b"x" * 1_000, BINARY),
    client_frame(b"x" * 1_001),
    client_frame(b"ping", PING),
    client_frame(b"pong", PONG),
    client_frame(b"", CLOSE),
    client_frame(b"\x03", CLOSE),
    client_frame(b"\x03\xe8bye", CLOSE),
    client_frame(b"\x03\xe8\xff", CLOSE),
    client_frame(b"x", 3),
    client_header(1 << 62),
    b"\xff\xff",
    b"\x81\xfe\x00\x05abcd",
]


@given(st.lists(st.sampled_from(ODD_FRAMES) | st.binary(max_size=12), max_size=8), st.data())
def test_any_split_of_any_bytes_reads_the_same(pieces: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = read(stream, limit=1_000)
    assert read(*parts) == whole
    assert read(*drip(stream), limit=1) == whole


@given(st.lists(st.tuples(st.booleans(), st.text(max_size=300), st.lists(st.integers(0, 900), max_size=4)), max_size=5))
def test_messages_come_back_as_they_were_sent_however_fragmented(messages: list[tuple[bool, str, list[int]]]) -> None:
    stream, expected = b"", []
    for is_text, text, cuts in messages:
        payload, opcode = text.encode()[:1_000].decode(errors="ignore").encode(), TEXT if is_text else BINARY
        bounds = [0, *sorted(min(cut, len(payload)) for cut in cuts), len(payload)]
        fragments = [payload[a:b] for a, b in pairwise(bounds)]
        for number, fragment in enumerate(fragments):
            is_last = number == len(fragments) - 1
            stream += client_frame(fragment, CONTINUATION if number else opcode, final=is_last)
            stream += client_frame(b"between", PING)
        expected.append((opcode, payload))
    frames, code = read(stream)
    assert code is None
    assert [one for one in frames if one[0] != PING] == expected


@given(st.binary(max_size=40))
def test_text_fails_exactly_when_no_further_bytes_can_save_it(payload: bytes) -> None:
    try:
        payload.decode()
        is_prefix = True
    except UnicodeDecodeError as error:
        is_prefix = error.reason == "unexpected end of data"
    _, code = read(client_header(len(payload) + 4) + b"\0\0\0\0" + payload)
    assert code == (None if is_prefix else 1007)


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        pytest.param(b"\x81\x01a", 1002, id="not masked (5.1)"),
        pytest.param(client_frame(b"a", TEXT | 0x40), 1002, id="RSV1 (5.2)"),
        pytest.param(client_frame(b"a", TEXT | 0x20), 1002, id="RSV2 (5.2)"),
        pytest.param(client_frame(b"a", TEXT | 0x10), 1002, id="RSV3 (5.2)"),
        *(pytest.param(client_frame(b"", op), 1002, id=f"reserved opcode {op} (5.2)") for op in (3, 7, 11, 15)),
        pytest.param(client_frame(b"", PING, final=False), 1002, id="fragmented ping (5.5)"),
        pytest.param(client_frame(b"x" * 126, PING), 1002, id="ping over 125 bytes (5.5)"),
        pytest.param(b"\x88\xff" + (1 << 63).to_bytes(8), 1002, id="close with a long length (5.5)"),
        pytest.param(client_frame(b"", CONTINUATION), 1002, id="continuation of nothing (5.4)"),
        pytest.param(client_frame(b"", final=False) + client_frame(b""), 1002, id="message inside a message (5.4)"),
        pytest.param(b"\x81\xfe\x00\x7d", 1002, id="125 bytes announced in two (5.2)"),
        pytest.param(b"\x81\xff" + (65_535).to_bytes(8), 1002, id="65,535 bytes announced in eight (5.2)"),
        pytest.param(b"\x81\xff" + (1 << 63).to_bytes(8), 1002, id="2^63 bytes: the top bit is never set (5.2)"),
        pytest.param(b"\x81\xff" + ((1 << 63) - 1).to_bytes(8), 1009, id="2^63 - 1 bytes, from the header alone"),
        pytest.param(client_header(1_001), 1009, id="one byte too long, from the header alone"),
        pytest.param(
            client_frame(b"x" * 600, final=False) + client_header(401, CONTINUATION), 1009, id="too long together"
        ),
        pytest.param(client_frame(b"\xc3\x28"), 1007, id="bad UTF-8"),
        pytest.param(client_frame(EURO[:2]), 1007, id="text that ends inside a character"),
        pytest.param(client_frame(b"\xed\xa0\x80"), 1007, id="a surrogate"),
        pytest.param(client_header(9) + b"\0\0\0\0\xf4\x90", 1007, id="beyond U+10FFFF, from its second byte"),
        pytest.param(
            client_frame(EURO[:1], final=False) + client_frame(b"a", CONTINUATION), 1007, id="bad across fragments"
        ),
        pytest.param(client_frame(b"\x03", CLOSE), 1002, id="close with one byte (5.5.1)"),
        pytest.param(client_frame(b"\x03\xe8\xff", CLOSE), 1007, id="close reason not UTF-8 (5.5.1)"),
    ],
)
def test_a_fault_ends_reading_with_its_code(stream: bytes, code: int) -> None:
    before = client_frame(b"before")
    assert read(before + stream + client_frame(b"after")) == ([(TEXT, b"before")], code)


def test_bad_text_fails_before_its_frame_is_whole() -> None:
    assert read(client_header(500) + b"\0\0\0\0" + b"good \xff")[1] == 1007


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999])
def test_close_codes_that_may_be_sent_are_read(code: int) -> None:
    payload = code.to_bytes(2) + "gruß".encode()
    assert read(client_frame(payload, CLOSE)) == ([(CLOSE, payload)], None)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535])
def test_close_codes_that_may_not_be_sent_are_faults(code: int) -> None:
    assert read(client_frame(code.to_bytes(2), CLOSE)) == ([], 1002)


def test_nothing_is_read_after_a_close() -> None:
    assert read(client_frame(b"", CLOSE) + client_frame(b"late"), client_frame(b"later")) == ([(CLOSE, b"")], None)


def test_the_65th_fragment_is_too_many() -> None:
    first, more = client_frame(b"", final=False), client_frame(b"", CONTINUATION, final=False)
    last = client_frame(b"", CONTINUATION)
    assert read(first + more * 62 + last) == ([(TEXT, b"")], None)
    assert read(first + more * 63 + last) == ([], 1009)


def test_a_big_message_in_tiny_pieces_is_not_copied_again_and_again() -> None:
    rules = SocketRules(max_frame_bytes=300_000)
    payload = b"0123456789" * 30_000
    frames, code = read(*drip(client_frame(payload)), rules=rules)
    assert (frames, code) == ([(TEXT, payload)], None)


def test_a_reader_tells_when_a_client_owes_the_rest_of_a_message() -> None:
    reader = FrameReader(RULES)
    for part, owes in ((b"", False), (b"\x01", True), (b"\x80abcd", True), (client_frame(b"", CONTINUATION), False)):
        reader.receive_data(part)
        reader.read(10)
        assert reader.is_inside_message is owes


@given(st.binary(max_size=300) | st.integers(65_530, 65_540).map(bytes), st.sampled_from([TEXT, BINARY]))
def test_server_frames_have_the_shortest_length(payload: bytes, opcode: int) -> None:
    header = client_header(len(payload), opcode)
    assert frame(payload, opcode) == header[:1] + bytes((header[1] & 0x7F,)) + header[2:] + payload


def test_close_reasons_are_cut_between_characters() -> None:
    built = close_frame(4450, "€" * 60)
    assert built[2:] == (4450).to_bytes(2) + ("€" * 41).encode()
    assert built[1] == len(built) - 2 == 125
    assert close_frame(NO_CODE) == b"\x88\x00"
