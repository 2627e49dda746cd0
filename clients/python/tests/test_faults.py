"""The real client at a real node that faults happen to: nothing is lost in silence, nothing comes twice."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from roomcast_client import Backoff, Client, Gap, Message, Room, RoomcastError, Server, batch_message
from stage import Stage

pytestmark = pytest.mark.anyio
PATIENCE_SECONDS = 40.0  # the machine may be busy


def client_of(stage: Stage, user: str = "alice", **options: Any) -> Client:
    """A client with tokens of the stage, that comes back at once."""
    quick = Backoff(first_seconds=0.05, max_seconds=0.3)
    defaults: dict[str, Any] = {"get_token": lambda: stage.token(user), "backoff": quick, "ack_timeout_seconds": 2.0}
    return Client(stage.url, **(defaults | options))


async def next_message(room: Room[Any, Any, Any]) -> Any:
    """The data of the next message; no gap comes before it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            match await anext(room):
                case Message(data=data):
                    return data
                case Gap() as gap:
                    raise AssertionError(gap)


async def becomes(client: Client, wanted: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for status in client.statuses():
            if status == wanted:
                return


async def publish_all(server: Server, room: str, numbers: range, size: int = 0) -> None:
    messages = [batch_message(room, {"n": number, "x": "x" * size}) for number in numbers]
    results = await server.publish_batch(messages)
    assert all(result.duplicate is False for result in results), results


async def numbers_seen(room: Room[Any, Any, Any], numbers: range) -> None:
    assert [(await next_message(room))["n"] for _ in numbers] == list(numbers)


@pytest.mark.parametrize("how", ["restart", "leave", "kill"])
async def test_a_restart_of_the_server_loses_nothing(stage: Stage, server: Server, how: str) -> None:
    async with client_of(stage) as client, client.room(f"restart-{how}") as room:
        await publish_all(server, room.name, range(5))
        await numbers_seen(room, range(5))
        await stage.order("restart", how=how)
        await publish_all(server, room.name, range(5, 10))
        await numbers_seen(room, range(5, 10))
        await becomes(client, "online")


async def test_a_cut_in_the_middle_of_a_publish_publishes_once(stage: Stage, server: Server) -> None:
    async with client_of(stage) as client, client.room("mid-publish") as room:
        await stage.order("lose_answers", count=3)
        published = await asyncio.gather(*(room.publish({"n": number}) for number in range(3)))
        assert [answer.duplicate for answer in published] == [True] * 3
        page = await room.history()
        assert [item.data["n"] for item in page.messages] == [0, 1, 2]
        # As `position` moves by what is recovered, too, nothing of it comes again.
        await numbers_seen(room, range(3))
        await publish_all(server, room.name, range(3, 4))
        await numbers_seen(room, range(3, 4))


async def test_what_is_published_while_the_network_is_away_arrives_in_order(stage: Stage) -> None:
    async with client_of(stage) as client, client.room("away") as room:
        await stage.order("cut", down_seconds=1)
        await becomes(client, "offline")
        published = await asyncio.gather(*(room.publish({"n": number}) for number in range(20)))
        assert [answer.position and int(answer.position.partition(":")[2]) for answer in published] == list(
            range(1, 21)
        )


async def test_a_network_that_goes_silent_is_noticed_and_loses_nothing(stage: Stage, server: Server) -> None:
    async with client_of(stage, ack_timeout_seconds=0.3) as client, client.room("silent") as room:
        await stage.order("silence", seconds=1.5)
        await publish_all(server, room.name, range(5))
        published = await room.publish({"n": 5}, echo=True)
        assert published.position is not None
        await numbers_seen(room, range(6))


async def test_a_token_that_ended_while_asleep_is_replaced(stage: Stage, server: Server) -> None:
    is_asleep = False
    asked: list[int] = []

    async def get_token() -> str:
        asked.append(1)
        if is_asleep:
            raise OSError("asleep")
        return await stage.token(ttl_seconds=3 if len(asked) == 1 else 3600)

    async with client_of(stage, get_token=get_token) as client:
        is_asleep = False
        room = client.room("asleep")
        await room.join()
        is_asleep = True
        await stage.order("silence", seconds=4)
        await publish_all(server, room.name, range(3))
        await asyncio.sleep(4)  # the sleep itself
        is_asleep = False
        await numbers_seen(room, range(3))
        await becomes(client, "online")


async def test_a_token_is_refreshed_before_it_ends(stage: Stage) -> None:
    asked: list[int] = []

    async def get_token() -> str:
        asked.append(1)
        return await stage.token(ttl_seconds=20 if len(asked) == 1 else 3600)

    async with client_of(stage, get_token=get_token) as client:
        await becomes(client, "online")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(asked) < 2:
                await asyncio.sleep(0.01)
        assert await client.ping() > 0
        assert client.status == "online"


async def test_what_can_not_be_recovered_is_a_gap(stage: Stage, server: Server) -> None:
    await stage.order("room_type", name="short", pattern="short-*", history_messages=5)
    async with client_of(stage) as client, client.room("short-1") as room:
        await publish_all(server, room.name, range(1))
        await numbers_seen(room, range(1))
        before = room.position
        await stage.order("cut", down_seconds=0.5)
        await publish_all(server, room.name, range(1, 400))
        async with asyncio.timeout(PATIENCE_SECONDS):
            gap = await anext(room)
        assert isinstance(gap, Gap)
        assert (gap.from_, gap.reason) == (before, "expired")
        assert gap.to == room.position
        await publish_all(server, room.name, range(400, 402))
        await numbers_seen(room, range(400, 402))


async def test_an_emptied_redis_is_a_gap_by_a_new_epoch(stage: Stage, server: Server) -> None:
    async with client_of(stage) as client, client.room("emptied") as room:
        await publish_all(server, room.name, range(3))
        await numbers_seen(room, range(3))
        before = room.position
        await stage.order("empty")
        async with asyncio.timeout(PATIENCE_SECONDS):
            gap = await anext(room)
        assert isinstance(gap, Gap)
        assert (gap.from_, gap.reason) == (before, "epoch")
        await publish_all(server, room.name, range(3, 5))
        await numbers_seen(room, range(3, 5))


async def test_a_slow_consumer_comes_back_and_loses_nothing(stage: Stage, server: Server) -> None:
    async with client_of(stage) as client, client.room("slow") as room:
        await stage.order("stall", seconds=2)
        for start in range(0, 90, 10):
            await publish_all(server, room.name, range(start, start + 10), size=60_000)
        await numbers_seen(room, range(90))
        assert client.status == "online"


async def test_a_revoked_signing_key_is_survived_with_a_new_token(stage: Stage, server: Server) -> None:
    async with client_of(stage) as client, client.room("revoked") as room:
        await stage.order("revoke")
        await publish_all(server, room.name, range(3))
        await numbers_seen(room, range(3))


async def test_a_suspended_tenant_ends_the_client_for_good(stage: Stage) -> None:
    async with client_of(stage) as client:
        room = client.room("suspended")
        await room.join()
        await stage.order("suspend")
        try:
            with pytest.raises(RoomcastError, match="4403") as ended:
                await next_message(room)
            assert ended.value.code == "closed"
            assert client.status == "closed"
            with pytest.raises(RoomcastError, match="4403"):
                await room.publish(1)
        finally:
            await stage.order("resume")


async def test_members_come_and_go_over_a_restart(stage: Stage) -> None:
    async def see(room: Room[Any, Any, Any], holds: Callable[[set[str]], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds({member.user for member in room.members.values()}):
                await anext(room)

    async with client_of(stage) as alice, alice.room("people", watch=True, state={"mood": "good"}) as room:
        async with client_of(stage, "bob") as bob, bob.room("people"):
            await see(room, lambda users: users == {"alice", "bob"})
            await stage.order("restart")
            await becomes(alice, "online")
            await becomes(bob, "online")
        await see(room, lambda users: users == {"alice"})
        (myself,) = room.members.values()
        assert myself.state == {"mood": "good"}
