"""The scenes and closes of clients/vectors, with the real client."""

from typing import Any

import pytest

from player import Player, new_client
from scripted_server import ScriptedServer
from vectors import by_name, read

pytestmark = pytest.mark.anyio
SCENES = read("scenes")


@pytest.mark.parametrize("scene", by_name(SCENES["scenes"]))
async def test_the_client_plays_its_part(scene: Any) -> None:
    options = scene.get("options", {})
    async with ScriptedServer(SCENES["welcome"]) as server, new_client(server.url, **options) as client:
        player = Player(server, client)
        try:
            await player.play(scene["steps"])
        finally:
            await player.end()


@pytest.mark.parametrize("vector", read("closes"), ids=lambda vector: f"{vector['code']} {vector['does']}")
async def test_the_client_does_what_a_close_code_says(vector: Any) -> None:
    async with ScriptedServer(SCENES["welcome"]) as server, new_client(server.url) as client:
        player = Player(server, client)
        await server.accept("t1")
        if "closing" in vector:
            await server.sends({"type": "closing", "code": vector["code"], "reason": "x", **vector["closing"]})
        await (server.drops() if vector["code"] is None else server.closes(vector["code"]))
        if vector["does"] == "stop":
            await player.play([{"client_is": "closed"}])
            assert await server.is_left_alone(0.1)
        else:
            await server.accept("t2" if vector["does"] == "reconnect_with_new_token" else "t1")
            await player.play([{"client_is": "online"}])
