"""An error repeats the id of what it answers, whenever that is an object with a valid one."""

import pytest
from msgspec import UNSET, UnsetType

from service.protocol.codec import salvage
from service.protocol.identifiers import CommandId
from tests.protocol.poison import nested


@pytest.mark.parametrize(
    ("payload", "salvaged"),
    [
        (b'{"type":"nope","id":7,"room":"chat"}', (7, "chat")),
        (b'{"type":"join","id":"x","room":"chat\\n"}', ("x", None)),
        (b'{"id":"","room":5}', (UNSET, None)),
        (b'{"id":true}', (UNSET, None)),
        (b'{"id":7.0}', (UNSET, None)),
        (b'{"id":9007199254740992}', (UNSET, None)),
        (b'{"id":%b}' % (b"9" * 5000), (UNSET, None)),
        (rb'{"id":"\ud800"}', (UNSET, None)),
        (rb'{"id":7,"room":"chat","data":"\ud800"}', (7, "chat")),
        (b'{"id":7,"room":"chat","data":1e999}', (7, "chat")),
        (b'{"id":7,"data":%b}' % nested(200).encode(), (7, None)),
        (b'{"id":7,"data":%b,"room":"chat"}' % nested(10_000).encode(), (7, "chat")),
        (b'{"data":%b,"id":"[{\\"]"}' % (b'{"a":' * 10_000 + b"1" + b"}" * 10_000), ('[{"]', None)),
        (b'{"id":7,"data":%b' % (b"[" * 10_000), (UNSET, None)),
        (b"[" * 10_000 + b'{"id":7}' + b"]" * 10_000, (UNSET, None)),
        (b'{"id":7,"data":NaN}', (UNSET, None)),
        (b'{"id":7', (UNSET, None)),
        (b'[{"id":7}]', (UNSET, None)),
        (b"", (UNSET, None)),
        (b'{"id":7,"room":"\xff"}', (UNSET, None)),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_the_id_of_a_bad_json_object_is_salvaged(
    payload: bytes, salvaged: tuple[CommandId | UnsetType, str | None]
) -> None:
    assert salvage(payload, binary=False) == salvaged


@pytest.mark.parametrize(
    ("payload", "salvaged"),
    [
        (b"\x83\xa2id\x07\xa4room\xa4chat\xa4data\xc4\x01a", (7, "chat")),
        (b"\x82\xa2id\x07\xa4data\x81\x80\x01", (7, None)),
        (b"\x82\xa2id\xa1x\x01\x02", ("x", None)),
        (b"\x82\xa2id\x07\xa4room\xa2\xc3\x28", (7, None)),
        (b"\x81\xa2id\xcf" + b"\xff" * 8, (UNSET, None)),
        (b"\x81\xa2id", (UNSET, None)),
        (b"\x91\xa2id", (UNSET, None)),
    ],
)
def test_the_id_of_a_bad_messagepack_map_is_salvaged(
    payload: bytes, salvaged: tuple[CommandId | UnsetType, str | None]
) -> None:
    assert salvage(payload, binary=True) == salvaged
