"""`Server` and `SyncServer` at a real node."""

import asyncio
import time
from typing import Any

import httpx
import pytest

from roomcast_client import Client, Left, Message, Server, SyncServer, batch_message
from roomcast_client.errors import Invalid, NotFound, Unauthenticated, Unavailable
from roomcast_client.returning import Backoff
from stage import Stage

pytestmark = pytest.mark.anyio


async def test_what_a_server_does_in_rooms(stage: Stage, server: Server) -> None:
    answer = await server.publish("rest", {"n": 0}, name="said", key="once")
    again = await server.publish("rest", {"n": 0}, name="said", key="once")
    assert (again.position, again.duplicate) == (answer.position, True)
    results = await server.publish_batch([batch_message("rest", {"n": n}) for n in range(1, 4)])
    assert [result.duplicate for result in results] == [False] * 3
    page = await server.history("rest", since=answer.position, limit=2)
    assert ([item.data["n"] for item in page.messages], page.more, page.complete) == ([1, 2], True, True)
    detail = await server.room("rest")
    assert (detail.room_type, detail.position) == ("default", page.position)
    await server.forget_history("rest")
    assert (await server.history("rest")).messages == []


async def test_what_a_server_does_with_users(stage: Stage, server: Server) -> None:
    answer = await server.token("rita", rooms={"lobby": ["*"]}, info={"color": "red"}, ttl_seconds=60)
    assert answer.expires_at_ms > time.time() * 1000
    async with Client(stage.url, get_token=lambda: answer.token) as client, client.room("lobby", watch=True) as room:
        assert client.welcome is not None
        connection = client.welcome.connection
        (member,) = [member async for member in server.members("lobby")]
        assert (member.user, member.connection, member.info) == ("rita", connection, {"color": "red"})
        assert [one.room async for one in server.rooms(prefix="lob")] == ["lobby"]
        assert connection in [one.connection async for one in server.connections()]
        assert (await server.connection(connection)).user == "rita"
        while (await server.user("rita")).rooms != ["lobby"]:  # right within 2 s
            await asyncio.sleep(0.05)
        assert (await server.counts()).connections >= 1
        await server.send("rita", {"hello": 1}, name="wave")
        direct = await anext(aiter(client.directs()))
        assert (direct.name, direct.data, direct.from_) == ("wave", {"hello": 1}, None)
        await server.publish("lobby", "to others", exclude=[connection])
        await server.publish("lobby", "to all")
        heard = await next_message(room)
        assert heard.data == "to all"
        await server.remove_member("lobby", "rita")
        *_, last = [event async for event in room]
        assert isinstance(last, Left)
        assert last.reason == "server"
        await server.disconnect_user("rita")
        assert [status async for status in client.statuses()][-1] == "closed"


async def next_message(room: Any) -> Any:
    while not isinstance(event := await anext(room), Message):
        pass
    return event


async def test_a_revoked_user_is_let_in_no_more(stage: Stage, server: Server) -> None:
    answer = await server.token("rudi", rooms={"*": ["*"]})
    asked: list[int] = []

    def get_token() -> str:
        asked.append(1)
        return answer.token

    async with Client(stage.url, get_token=get_token, backoff=Backoff(0.01, 0.05)) as client:
        room = client.room("revoked-user")
        await room.join()
        await server.revoke(user="rudi", until_at_ms=int(time.time() * 1000) + 60_000)
        while len(asked) < 3:  # each is refused at the door
            await asyncio.sleep(0.01)
        assert client.status == "offline"


def test_without_asyncio_it_is_the_same(stage: Stage) -> None:
    with SyncServer(stage.api, stage.api_key) as server:
        answer = server.publish("sync", {"n": 0})
        assert answer.position is not None
        assert [item.data for item in server.history("sync").messages] == [{"n": 0}]
        assert list(server.rooms(prefix="sync")) == []
        assert server.room("sync").position == answer.position


async def test_refusals_are_typed_by_their_codes(stage: Stage, server: Server) -> None:
    with pytest.raises(NotFound) as missing:
        await server.room("never-seen")
    assert (missing.value.status, missing.value.code) == (404, "not_found")
    with pytest.raises(Invalid) as invalid:
        await server.history("rest", since="nonsense")
    assert invalid.value.path is not None
    with pytest.raises(Invalid):
        await server.revoke(until_at_ms=1)
    async with Server(stage.api, "rck_stage_0123456789ab_wrong") as stranger:
        with pytest.raises(Unauthenticated):
            await stranger.counts()


async def test_what_gets_no_answer_is_tried_again_and_then_told() -> None:
    tries: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        tries.append(request.content.decode())
        if len(tries) == 1:
            raise httpx.ReadTimeout("x")
        if len(tries) == 2:
            problem = {"type": "urn:roomcast:error:rate_limited", "detail": "later", "retry_after_ms": 1}
            return httpx.Response(429, json=problem)
        return httpx.Response(201, json={"position": "e:1", "duplicate": True, "later": 1})

    async with Server("http://roomcast.test", "rck", backoff=Backoff(0.001, 0.001)) as server:
        server._http = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://roomcast.test")
        assert (await server.publish("chat", 1)).position == "e:1"
        assert len(set(tries)) == 1, "with the same key"
        tries.clear()
        with pytest.raises(Unavailable, match="the outcome is unknown: ReadTimeout"):
            await server.send("bob", 1)
        assert len(tries) == 1
