"""What a JSON value of ours may hold (PROTOCOL.md, "Formats"), and its way to MessagePack and back.

msgspec's `Raw` is skipped over, not decoded. Tried on msgspec 0.22: the skipping refuses bad syntax, control
characters, numbers like `01` or `1.`, NaN and lone surrogates. It lets pass bad UTF-8, integers of any size, numbers
beyond a double, and nesting up to the interpreter's recursion limit. Those are looked for here, by bytes operations
that run in C: 0.35 µs for a plain publish, where one regular expression over it took 2 µs.
"""

import json
import re
from math import isfinite, isinf

import msgspec

from service.protocol.errors import Invalid, Malformed

MAX_DEPTH = 128
"""Levels of nesting of a whole frame or body; the object that a command is counts as the first."""

_SHORTEST_TOO_DEEP_BYTES = 2 * MAX_DEPTH + 2
_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_MARKS = bytes(set(range(256)) - set(b'[{]}"'))

# Digits become 0 and E becomes e. Only what then holds one of the two runs can hold a number that is out of range:
# 2^63 has 19 digits, and fewer digits need an exponent of three to pass 1.8e308.
_SHAPE = bytes.maketrans(b"123456789E", b"000000000e")
_LONG_RUN = b"0" * 19
_LONG_EXPONENT = b"0e000"
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[^"\[\]{}]++|.', re.DOTALL)
_NUMBER = re.compile(rb"-?[0-9][0-9.eE+-]*")

_read_json = msgspec.json.Decoder().decode
_write_json = msgspec.json.Encoder().encode
_read_msgpack = msgspec.msgpack.Decoder().decode
_write_msgpack = msgspec.msgpack.Encoder().encode
_skip_json = msgspec.json.Decoder(msgspec.Raw).decode

NOT_UTF8 = "the text is not UTF-8"
TOO_DEEP = f"nested over {MAX_DEPTH} levels"


def check_depth(document: bytes) -> None:
    """Raise Malformed if a JSON document is nested over MAX_DEPTH levels. Brackets that do not match are left alone."""
    if len(document) < _SHORTEST_TOO_DEEP_BYTES or document.count(b"[") + document.count(b"{") <= MAX_DEPTH:
        return
    marks = _without_escapes(document).translate(_SQUARE, _NO_MARKS)
    # Two quotes side by side open and close, or close and open: what is in a string and what is not stays so without.
    brackets = _outside_strings(marks.replace(b'""', b""))
    for _ in range(MAX_DEPTH):
        peeled = brackets.replace(b"[]", b"")  # the innermost level
        if len(peeled) == len(brackets):
            return
        brackets = peeled
    if brackets:
        raise Malformed(TOO_DEEP)


def may_hold_big_numbers(document: bytes) -> bool:
    """Whether `check_numbers` has to look: false for nearly all documents, strings of 19 digits make it true too."""
    shape = document.translate(_SHAPE, b"+")
    # find takes half of the time of `in`, which first tries its operand as an integer
    return shape.find(_LONG_RUN) >= 0 or shape.find(_LONG_EXPONENT) >= 0


def check_numbers(document: bytes, path: str) -> None:
    """Raise Invalid if JSON that is well-formed holds an integer outside -2^63 … 2^64-1 or a number beyond a double."""
    # Of equal ones, one look is enough: 8 MiB of `1e300,` took 3.4 s, most of it for float().
    for number in set(_NUMBER.findall(_outside_strings(_without_escapes(document)))):
        if b"." in number or b"e" in number or b"E" in number:
            if isinf(float(number)):
                raise Invalid("a number is beyond a double", path)
        elif len(number) >= len(_LONG_RUN) and (len(number) > len(_LONG_RUN) + 1 or not _is_64_bit(int(number))):
            raise Invalid("an integer is outside -2^63 … 2^64-1", path)


def check_json(raw: bytes, path: str = "$.data") -> None:
    """Check bytes that nobody has looked at yet: UTF-8, syntax, depth and numbers, as for `data` in a frame.

    `path` says where the value stands, for the error. Raises Malformed or Invalid.
    """
    check_text(raw)
    if len(raw) > MAX_DEPTH:
        check_depth(b"[%b]" % raw)  # the object around it is the first level
    try:
        _skip_json(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise misread(raw, error, path) from None
    if may_hold_big_numbers(raw):
        check_numbers(raw, path)


def check_text(document: bytes) -> None:
    """Raise Malformed if the bytes are not UTF-8 (RFC 3629: no surrogates, no overlong forms)."""
    if not document.isascii():
        try:
            document.decode()
        except UnicodeDecodeError:
            raise Malformed(NOT_UTF8) from None


def misread(document: bytes, error: Exception, path: str = "$") -> Malformed | Invalid:
    """What it means that msgspec could not read a JSON document at all: a lone surrogate is Invalid, else Malformed.

    For an object, the path goes on to the field that holds the surrogate.
    """
    try:
        value = read_leniently(document)
    except RecursionError:
        return Malformed(TOO_DEEP)
    except ValueError:
        return Malformed(NOT_UTF8 if isinstance(error, UnicodeDecodeError) else str(error))
    fields = value.items() if isinstance(value, dict) and path == "$" else ()
    within = [
        name for name, held in fields if not _is_text(json.dumps(held, ensure_ascii=False)) and name.isidentifier()
    ]
    return Invalid("a lone surrogate is no text", f"{path}.{within[0]}" if within else path)


def read_leniently(document: bytes) -> object:
    """Read JSON with lone surrogates in it, which msgspec refuses. Slow: for answering errors.

    Raises ValueError when it is no JSON, RecursionError when it is nested deeper than the interpreter goes.
    """
    return json.loads(document.decode(), parse_constant=_refuse_constant, parse_int=_small_integer)


def without_inner_containers(document: bytes) -> bytes:
    """A JSON document with 0 for each container in the outermost one: what stands beside a nesting that is too deep."""
    kept: list[bytes] = []
    level = 0
    for token in _TOKEN.findall(document):
        closes = token in (b"]", b"}")
        level += (token in (b"[", b"{")) - closes
        if level <= 1:
            kept.append(b"0" if closes and level == 1 else token)
    return b"".join(kept)


def from_msgpack(raw: bytes, path: str) -> bytes:
    """One MessagePack value as JSON. Raises Malformed, or Invalid where JSON has no such value."""
    try:
        value = _read_msgpack(raw)
    except UnicodeDecodeError:
        raise Malformed(NOT_UTF8) from None
    except RecursionError:
        raise Malformed(TOO_DEEP) from None
    except msgspec.ValidationError:  # a timestamp, which is an ext, with a value that is none
        raise Invalid("ext is no JSON", path) from None
    except msgspec.DecodeError as error:
        if "hashable" in str(error):
            raise Invalid("keys are text", path) from None
        raise Malformed(str(error)) from None
    check_msgpack_value(value, path, level=2)
    return _write_json(value)


def check_msgpack_value(value: object, path: str, level: int) -> None:
    """Raise unless a value read from MessagePack has a form in JSON. `level` is the one that a container here is on."""
    match value:
        case None | str() | int():
            return
        case float():
            if not isfinite(value):
                raise Invalid("NaN and infinities are no JSON", path)
        case dict() | list() if level > MAX_DEPTH:
            raise Malformed(TOO_DEEP)
        case dict():
            for key, held in value.items():
                if not isinstance(key, str):
                    raise Invalid("keys are text", path)
                check_msgpack_value(held, path, level + 1)
        case list():
            for held in value:
                check_msgpack_value(held, path, level + 1)
        case _:
            raise Invalid("bin and ext are no JSON", path)


def transcode(json_bytes: bytes) -> bytes:
    """Checked JSON as MessagePack: integers and floats stay what they are, of equal keys the last stays."""
    return _write_msgpack(_read_json(json_bytes))


def _without_escapes(document: bytes) -> bytes:
    r"""A JSON document whose quotes all begin or end a string. `\\` goes first, so that its half escapes no quote."""
    return document.replace(rb"\\", b"").replace(rb"\"", b"") if b"\\" in document else document


def _outside_strings(document: bytes) -> bytes:
    return b"".join(document.split(b'"')[::2])


def _is_64_bit(number: int) -> bool:
    return -(2**63) <= number < 2**64


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _small_integer(digits: str) -> int | float:
    # int() takes quadratic time, and refuses 4,300 digits; nobody asks for the value of a longer one
    return int(digits) if len(digits) <= 20 else float("inf")
