"""A bot in the tutorial's chat: it counts words for whoever asks, and misses nobody who asked while it was away.

ROOMCAST_URL=http://127.0.0.1:8000 ROOMCAST_API_KEY=rck_… python bot.py chat:lobby
"""

import asyncio
import os
import sys
from pathlib import Path

from roomcast_client import Client, Gap, Left, Message, Room, Server

from chat_contract import CHAT, ChatMessage, ChatSaid, ChatSignal, ChatState, ChatTypingSignal

NAME = "word-counter"
ASKED = "count: "


async def talk(room: Room[ChatMessage, ChatSignal, ChatState], kept: Path) -> None:
    """Answer until the room is left; `kept` holds where in the room the bot is, for the next start."""
    keep(kept, room.position)  # who is killed at the first question finds it again
    async for event in room:
        match event:
            case Message(data=ChatSaid(text=text), from_=sender) if text.startswith(ASKED):
                await room.signal(ChatTypingSignal(on=True))
                who = sender.user if sender is not None else "you"
                words = len(text.removeprefix(ASKED).split())
                # The key is of the question: if the bot ends right after the answer, it does not answer again.
                await room.publish(ChatSaid(text=f"{who}: {words} words"), key=f"answer-{event.offset}")
            case Gap(reason=reason):
                print(f"some questions were missed: {reason}", file=sys.stderr)
            case Left(reason=reason):
                print(f"out of the room: {reason}", file=sys.stderr)
        keep(kept, room.position)


def keep(kept: Path, position: str | None) -> None:
    """Where in the room the bot is; rooms without history have no positions."""
    if position is not None:
        new = kept.with_suffix(".new")
        new.write_text(position)
        new.replace(kept)  # at once: who is killed while it writes leaves the old one


async def main(name: str, kept: Path, since: str | None) -> None:
    """Go to the room that is named, from where the last run was."""
    url, api_key = os.environ["ROOMCAST_URL"], os.environ["ROOMCAST_API_KEY"]
    async with Server(url, api_key) as server:

        async def get_token() -> str:
            rights = ["join", "publish", "signal", "presence"]
            return (await server.token(NAME, rooms={name: rights}, ttl_seconds=3600)).token

        async with (
            Client(f"{url.replace('http', 'ws', 1)}/v1/connect", get_token=get_token) as client,
            client.room(name, CHAT, since=since, watch=True, state=ChatState(away=False)) as room,
        ):
            print(f"{NAME} is in {name} with {len(room.members)}", flush=True)
            await talk(room, kept)


if __name__ == "__main__":
    chat = sys.argv[1]
    file = Path(f"{chat.replace(':', '-')}.position")
    asyncio.run(main(chat, file, file.read_text() if file.exists() else None))
