"""A tenant's contract, from its file to a refusal at run time: what types let through by hand, the server refuses."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from chat_contract import CHAT, ChatSaid, ChatState, ChatTypingSignal
from roomcast_client import Client, Message, Other, RoomcastError, Server, SignalEvent
from roomcast_client.errors import SchemaMismatch
from stage import Stage

pytestmark = pytest.mark.anyio


@pytest.fixture
async def contract(stage: Stage) -> None:
    """The contract in force, as soon as the node knows it."""
    await stage.contract(Path(__file__).parent / "typed" / "contract.yaml")


async def until_refused(room: Any) -> SchemaMismatch:
    """What the server says to a text that is none, within the 2 s in which a node hears of a contract."""
    async with asyncio.timeout(10):
        while True:
            try:
                await room.publish(Other({"text": 1}), name="said")
            except SchemaMismatch as refused:
                return refused
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("contract")
async def test_what_does_not_fit_is_refused_with_its_path_and_the_rest_arrives_typed(stage: Stage) -> None:
    def client(user: str) -> Client:
        return Client(stage.url, get_token=lambda: stage.token(user))

    async with (
        client("alice") as alice,
        client("bob") as bob,
        alice.room("chat:typed", CHAT) as room,
        bob.room("chat:typed", CHAT, watch=True) as bobs,
    ):
        refused = await until_refused(room)
        assert refused.path == "$.data.text"
        with pytest.raises(SchemaMismatch):
            await room.signal(Other({"since_ms": "x"}), name="typing")
        await room.publish(ChatSaid(text="typed"))
        await room.signal(ChatTypingSignal(since_ms=5))
        await room.set_state(ChatState(away=True))
        seen: list[Any] = []
        async with asyncio.timeout(10):
            while len(seen) < 2:
                event = await anext(bobs)
                if isinstance(event, (Message, SignalEvent)) and event.data != Other({"text": 1}):
                    seen.append(event.data)
            while not any(member.state == ChatState(away=True) for member in bobs.members.values()):
                await anext(bobs)
        assert sorted(seen, key=str) == [ChatSaid(text="typed"), ChatTypingSignal(since_ms=5)]


@pytest.mark.usefixtures("contract")
async def test_a_name_that_the_contract_refuses_is_refused_over_rest_too(stage: Stage, server: Server) -> None:
    refused: RoomcastError | None = None
    async with asyncio.timeout(10):
        while refused is None:
            try:
                await server.publish("prices", 1, name="gossip")
                await asyncio.sleep(0.05)
            except RoomcastError as error:
                refused = error
    assert (refused.code, refused.status) == ("schema", 422)
    await server.publish("prices", 1.5, name="price")
