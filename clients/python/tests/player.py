"""Plays a scene of clients/vectors/scenes.json: the steps are explained in clients/vectors/README.md."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec
import pytest

from roomcast_client import Backoff, Client, Room, RoomcastError
from scripted_server import PATIENCE_SECONDS, ScriptedServer

STATUSES = {"online": "online", "offline": "offline", "closed": "closed"}


class Player:
    """One scene's server, client and what they have said so far."""

    def __init__(self, server: ScriptedServer, client: Client) -> None:
        self._server = server
        self._client = client
        self._names: dict[str, Any] = {}
        self._rooms: dict[str, Room[Any, Any, Any]] = {}
        self._begun: dict[str, asyncio.Task[Any]] = {}
        self._tasks: list[asyncio.Task[Any]] = []
        self._step_at = 0.0

    async def play(self, steps: list[Any]) -> None:
        for step in steps:
            began_at = asyncio.get_running_loop().time()
            (kind,) = set(step) - {"token", "after_ms", "as", "with"}
            await getattr(self, f"_{kind}")(step[kind], step)
            if "after_ms" in step:
                assert asyncio.get_running_loop().time() - began_at >= step["after_ms"] / 1000, step

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # The server's side

    async def _accept(self, wanted: Any, step: Any) -> None:
        await self._server.accept(wanted.get("token"))

    async def _refuse(self, status: int, step: Any) -> None:
        await self._server.refuse(status, step.get("token"))

    async def _client_sends(self, wanted: Any, step: Any) -> None:
        got = await self._server.receives()
        for name, value in wanted.items():
            is_name = isinstance(value, str) and value.startswith("$")
            assert got.get(name) == (self._names.setdefault(value, got[name]) if is_name else value), (got, wanted)

    async def _client_sends_nothing(self, unused: bool, step: Any) -> None:
        try:
            raise AssertionError(await self._server.receives(0.1))
        except TimeoutError:
            pass

    async def _server_sends(self, event: Any, step: Any) -> None:
        named = {name: self._names[value] for name, value in event.items() if str(value) in self._names}
        await self._server.sends(event | named)

    async def _close(self, code: int, step: Any) -> None:
        await self._server.closes(code)

    async def _drop(self, unused: bool, step: Any) -> None:
        await self._server.drops()

    # The application's side

    async def _do(self, what: Any, step: Any) -> None:
        name = step.get("as") or what.get("as")
        self._begin(name, self._act(what))
        await asyncio.sleep(0)

    def _begin(self, name: str | None, doing: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(doing)
        self._tasks.append(task)
        if name:
            self._begun[name] = task

    async def _act(self, what: Any) -> Any:
        match what:
            case {"join": room}:
                options = {option: what[option] for option in ("watch", "state") if option in what}
                self._rooms[room] = self._client.room(room, **options)
                return await self._rooms[room].join()
            case {"leave": room}:
                return await self._rooms[room].leave()
            case {"publish": publish}:
                room = self._client.room(publish["room"])
                return await room.publish(publish["data"], name=publish.get("name"))
            case {"set_state": change}:
                return await self._rooms[change["room"]].set_state(change["state"])

    async def _resolves(self, name: str, step: Any) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await self._begun[name]
        if "with" in step:
            assert_holds(step["with"], answer)

    async def _rejects(self, name: str, step: Any) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(RoomcastError) as refused:
                await self._begun[name]
        for field, wanted in step.get("with", {}).items():
            assert getattr(refused.value, field) == wanted

    async def _client_sees(self, wanted: Any, step: Any) -> None:
        (room,) = self._rooms.values()
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert_holds(wanted, await anext(room))

    async def _members_are(self, wanted: list[str], step: Any) -> None:
        (room,) = self._rooms.values()
        async with asyncio.timeout(2):
            while not (room.members and sorted(room.members) == sorted(wanted)):
                await asyncio.sleep(0.005)

    async def _client_is(self, wanted: str, step: Any) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for status in self._client.statuses():
                if status == STATUSES[wanted]:
                    return
        raise AssertionError(self._client.status)


def assert_holds(wanted: Any, got: Any) -> None:
    """The event has at least what is wanted, on the wire."""
    value = msgspec.to_builtins(got)
    assert _holds(wanted, value), (wanted, value)


def _holds(wanted: Any, got: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(got, dict) and all(_holds(value, got.get(name)) for name, value in wanted.items())
    return bool(wanted == got)


def new_client(url: str, *, ack_timeout_ms: int = 5_000, offline_queue: int = 1000) -> Client:
    """A client as scenes want it: tokens t1, t2, …, a backoff of at most 20 ms."""
    tokens = iter(f"t{number}" for number in range(1, 1000))
    return Client(
        url,
        get_token=lambda: next(tokens),
        backoff=Backoff(first_seconds=0.01, max_seconds=0.02),
        ack_timeout_seconds=ack_timeout_ms / 1000,
        max_queued=offline_queue,
    )
