"""The tutorial's bot: typed, and at work in a room of a node that has the tutorial's contract."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from roomcast_client import Client, Message, Room
from stage import PROJECT, Stage

pytestmark = pytest.mark.anyio
TUTORIAL = PROJECT / "docs" / "tutorial"
CLIENT = Path(__file__).parents[1]


def test_it_is_typed() -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-incremental", "bot.py"]
    path = {"MYPYPATH": str(CLIENT), "PATH": "/usr/bin:/bin"}
    ran = subprocess.run(command, cwd=TUTORIAL / "bot", env=path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


def test_its_types_are_those_of_the_contract() -> None:
    command = [sys.executable, "-m", "service", "generate", "python", "--tenant", "demo"]
    command += ["--contract", str(TUTORIAL / "contract.yaml")]
    written = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    assert written == (TUTORIAL / "bot" / "chat_contract.py").read_text()


async def next_text(room: Room[Any, Any, Any]) -> str:
    async with asyncio.timeout(30):
        while not isinstance(event := await anext(room), Message):
            pass
    return str(event.data["text"])


async def start_bot(stage: Stage, folder: Path) -> asyncio.subprocess.Process:
    """The bot, when it is in the room."""
    path = os.pathsep.join(map(str, (CLIENT, TUTORIAL / "bot")))
    places = {"ROOMCAST_URL": stage.api, "ROOMCAST_API_KEY": stage.api_key, "PYTHONPATH": path}
    bot = await asyncio.create_subprocess_exec(
        *(sys.executable, str(TUTORIAL / "bot" / "bot.py"), "chat:bot"),
        cwd=folder,
        env=os.environ | places,
        stdout=asyncio.subprocess.PIPE,
    )
    assert bot.stdout is not None
    async with asyncio.timeout(30):
        assert (await bot.stdout.readline()).startswith(b"word-counter is in chat:bot")
    return bot


async def test_it_answers_also_what_was_asked_while_it_was_away(stage: Stage, tmp_path: Path) -> None:
    await stage.contract(TUTORIAL / "contract.yaml")
    async with (
        Client(stage.url, get_token=stage.token) as client,
        client.room("chat:bot") as room,
    ):
        bot = await start_bot(stage, tmp_path)
        await room.publish({"text": "count: one two three"}, name="said")
        assert await next_text(room) == "alice: 3 words"
        bot.kill()
        await bot.wait()
        await room.publish({"text": "count: four"}, name="said")
        bot = await start_bot(stage, tmp_path)
        assert await next_text(room) == "alice: 1 words"
        bot.kill()
        await bot.wait()
