"""What a typed application looks like: mypy --strict has nothing to say."""

from typing import assert_type

from msgspec import UnsetType

from chat_contract import CHAT, PRICES, ChatMessage, ChatSaid, ChatState, ChatTypingSignal
from roomcast_client import Client, Gap, Left, Message, Other, Presence, Server, SignalEvent, SyncServer
from roomcast_client.events import OccupancyEvent


async def get_token() -> str:
    return "token"


async def talk() -> None:
    async with (
        Client("ws://localhost/v1/connect", get_token=get_token) as client,
        client.room("chat:42", CHAT, recover=True, watch=True, state=ChatState(away=False)) as room,
    ):
        published = await room.publish(ChatSaid(text="x"))
        assert_type(published.position, str | None)
        await room.publish(Other({"any": "thing"}), name="other")
        await room.signal(ChatTypingSignal(since_ms=1))
        await room.set_state(ChatState(away=True))
        page = await room.history(limit=10)
        assert_type(page.messages[0].data, ChatMessage)
        async for event in room:
            match event:
                case Message(data=ChatSaid(text=text), from_=sender):
                    assert_type(text, str)
                    print(text, sender)
                case Message(data=data, name=name):
                    assert_type(data, ChatMessage)
                    print(name)
                case SignalEvent(data=ChatTypingSignal(since_ms=since_ms)):
                    assert_type(since_ms, int)
                case Presence(joined=joined):
                    assert_type(joined[0].state, ChatState | UnsetType)
                case Gap(reason=reason) | Left(reason=reason):
                    print(reason)
                case SignalEvent() | OccupancyEvent():
                    pass


async def untyped(client: Client) -> None:
    async with client.room("anything", state={"any": "thing"}) as room:
        await room.publish({"text": 1}, name="said")
        async for event in room:
            if isinstance(event, Message):
                print(event.data["text"])
    async with client.room("prices", PRICES) as prices:
        await prices.publish(1.5, name="price")


async def serve(server: Server, sync_server: SyncServer) -> None:
    await server.publish("chat:42", ChatSaid(text="x"), contract=CHAT)
    await server.publish("anything", {"text": 1}, name="said")
    assert_type((await server.history("chat:42", contract=CHAT)).messages[0].data, ChatMessage)
    sync_server.publish("chat:42", ChatSaid(text="x"), contract=CHAT)
    for summary in sync_server.rooms(prefix="chat:"):
        print(summary.connections)
