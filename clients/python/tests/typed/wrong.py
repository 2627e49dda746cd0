"""What mypy --strict refuses: each line that is marked so, and no other."""

from chat_contract import CHAT, ChatSaid, ChatState, ChatTypingSignal
from roomcast_client import Client, Server


async def talk(client: Client, server: Server) -> None:
    async with client.room("chat:42", CHAT) as room:
        await room.publish(ChatSaid(txt="x"))  # error: call-arg
        await room.publish(ChatSaid(text=1))  # error: arg-type
        await room.publish(ChatSaid(text="x", kind="video"))  # error: arg-type
        await room.publish({"text": "x"})  # error: arg-type
        await room.publish(ChatTypingSignal(since_ms=1))  # error: arg-type
        await room.signal(ChatSaid(text="x"))  # error: arg-type
        await room.set_state({"away": True})  # error: arg-type
        await room.set_state(ChatState())  # error: call-arg
        async for event in room:
            print(event.data)  # error: union-attr
    client.room("chat:42", CHAT, state=1)  # error: misc
    await server.publish("chat:42", ChatTypingSignal(since_ms=1), contract=CHAT)  # error: misc
    Client("ws://localhost")  # error: call-arg
