"""`pip wheel` of the client, unpacked in an empty folder: it imports there, with its types, and connects."""

import asyncio
import os
import sys
import zipfile
from pathlib import Path

import pytest

from stage import Stage

CLIENT = Path(__file__).parents[1]
PROGRAM = """
import asyncio, sys
from roomcast_client import Client

async def main(url, token):
    async with Client(url, get_token=lambda: token) as client, client.room("wheel") as room:
        print((await room.publish({"n": 1})).position, room.contract.__class__.__module__)

asyncio.run(main(*sys.argv[1:]))
"""


pytestmark = pytest.mark.anyio


async def test_it_installs_and_works_in_an_empty_folder(stage: Stage, tmp_path: Path) -> None:
    wheels, folder = tmp_path / "wheels", tmp_path / "empty"
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    await run([*command, "--wheel-dir", str(wheels), str(CLIENT)], tmp_path)
    (wheel,) = wheels.glob("roomcast_client-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(folder)
    assert "roomcast_client/py.typed" in names
    assert all(name.startswith("roomcast_client") for name in names)
    said = await run([sys.executable, "-c", PROGRAM, stage.url, await stage.token()], folder)
    assert said.split()[-1:] == ["roomcast_client.contract"]


async def run(command: list[str], folder: Path) -> str:
    """What a program prints that succeeds; it finds modules in `folder`."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return said.decode()
