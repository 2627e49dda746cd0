"""Every command may carry an `id`; its reply and its error repeat it."""

import json
from typing import Any

import pytest
from msgspec import UNSET

from service.protocol.events import ErrorEvent, Pong
from tests.support.fixtures import Connect

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("command_id", [0, 1, -1, 2**53 - 1, -(2**53) + 1, "a", "x" * 64, "ä 😀", "1"])
async def test_an_id_is_repeated_as_it_was(connect: Connect, command_id: Any, binary: bool) -> None:
    alice = await connect(binary=binary)
    await alice.sends("ping", id=command_id)
    await alice.expects(Pong, id=command_id)
    await alice.sends("dance", id=command_id)
    await alice.expects(ErrorEvent, id=command_id, code="unknown_command", path="$.type")
    await alice.sends("join", id=command_id, room="no room!")
    await alice.expects(ErrorEvent, id=command_id, code="invalid", path="$.room")
    await alice.sends("leave", id=command_id, room="chat", more=1)
    await alice.expects(ErrorEvent, id=command_id, code="invalid", room="chat")


@pytest.mark.parametrize("command_id", [2**53, -(2**53), "", "x" * 65, 1.5, True, None, [], {}])
async def test_an_id_that_is_none_is_invalid_and_not_repeated(connect: Connect, command_id: Any, binary: bool) -> None:
    alice = await connect(binary=binary)
    await alice.sends("ping", id=command_id)
    await alice.expects(ErrorEvent, id=UNSET, code="invalid", path="$.id")


async def test_ids_may_be_used_again(connect: Connect) -> None:
    alice = await connect()
    for _ in range(3):
        await alice.sends("ping", id=1)
    for _ in range(3):
        await alice.expects(Pong, id=1)


async def test_a_float_that_is_an_integer_is_no_integer_in_json(connect: Connect) -> None:
    alice = await connect()
    await alice.sends_payload(json.dumps({"type": "ping", "id": 1.0}).encode())
    await alice.expects(ErrorEvent, id=UNSET, code="invalid")
