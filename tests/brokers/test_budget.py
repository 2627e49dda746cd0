import asyncio
from functools import partial

import pytest

from service.brokers.broker import Retention, RoomAddress
from service.brokers.resp import pack
from service.protocol.errors import Unavailable
from tests.brokers.conftest import Node, Server, eventually

pytestmark = pytest.mark.anyio
KEEP = Retention(10_000, 300)


async def fill(node: Node, room: str, messages: int) -> None:
    address = node.address("T1", room)
    await asyncio.gather(*[node.publishing(address, b"x" * 1_000, keep=KEEP) for _ in range(messages)])
    node._budget._noted.clear()  # each test notes by itself, in its order and with its budget


async def cut_offset(node: Node, room: str) -> int:
    return (await node.history(node.address("T1", room))).cut_offset


async def has_run_out(node: Node, address: RoomAddress) -> bool:
    return not (await node.history(address)).messages


async def note_until_cut(node: Node, rooms: list[str], budget: int, cut: str) -> None:
    for room in rooms:
        node._budget.note_published("T1", room, budget)
        await asyncio.sleep(0)
        await node._budget.enforce()
    assert await cut_offset(node, cut)


async def test_the_oldest_rooms_lose_their_history_first(a: Node) -> None:
    rooms = [f"room-{n}" for n in range(6)]
    for room in rooms:
        await fill(a, room, 100)  # 100 KB and something each
    await note_until_cut(a, rooms, 350_000, "room-0")
    histories = [await a.history(a.address("T1", room)) for room in rooms]
    assert [history.cut_offset for history in histories] == [100, 100, 100, 0, 0, 0]
    assert [len(history.messages) for history in histories] == [0, 0, 0, 100, 100, 100]
    assert (histories[0].head.offset, histories[0].first) == (100, 101)
    after = await a.publish(a.address("T1", "room-0"))
    assert (after.position.epoch, after.position.offset) == (histories[0].head.epoch, 101)


async def test_one_room_alone_above_the_budget_keeps_its_newer_messages(a: Node) -> None:
    await fill(a, "old", 10)
    await fill(a, "hot", 400)
    await note_until_cut(a, ["old", "hot"], 150_000, "hot")
    history = await a.history(a.address("T1", "hot"), limit=1_000)
    assert await cut_offset(a, "old") == 10
    assert history.messages[-1].offset == 400
    assert history.first == history.cut_offset + 1 == history.messages[0].offset
    assert 50 <= len(history.messages) <= 150


async def test_histories_that_ran_out_leave_the_account_and_nothing_is_cut(a: Node) -> None:
    address = a.address("T1", "gone")
    await asyncio.gather(*[a.publishing(address, b"x" * 1_000, keep=Retention(1_000, 1)) for _ in range(200)])
    a._budget.note_published("T1", "gone", 300_000)
    await a._budget.enforce()
    await eventually(lambda: has_run_out(a, address))
    await fill(a, "kept", 200)
    a._budget.note_published("T1", "kept", 300_000)
    await a._budget.enforce()
    assert await cut_offset(a, "kept") == 0
    assert await cut_offset(a, "gone") == 0


async def test_what_redis_could_not_be_asked_for_is_measured_later(a: Node) -> None:
    await fill(a, "room", 100)
    a._budget.note_published("T1", "room", None)
    a._link.abort()
    with pytest.raises(Unavailable):
        await a._budget.enforce()
    await a.listener.until_back(1)
    await a._budget.enforce()
    assert (await a.measure_tenant("T1")).history_bytes > 100_000


async def test_an_account_without_rooms_is_not_kept(a: Node, server: Server) -> None:
    """Of a deleted tenant nothing comes back by a look that was still to be taken."""
    await fill(a, "room", 10)
    for _ in range(2):
        a._budget.note_published("T1", "room", None)
        await a._budget.enforce()
        server.client.delete(a.address("T1", "room").keys.key(b"s"))
    assert server.client.keys("*:[bt]/T1") == []


async def test_without_a_budget_nothing_is_cut_and_the_account_is_kept(a: Node) -> None:
    await fill(a, "room", 100)
    a._budget.note_published("T1", "room", None)
    await a._budget.enforce()
    assert len((await a.history(a.address("T1", "room"), limit=1_000)).messages) == 100
    assert 100_000 < (await a.measure_tenant("T1")).history_bytes < 200_000


async def test_a_tenants_size_is_its_occupied_rooms_and_the_histories_that_have_not_run_out(a: Node) -> None:
    assert await a.measure_tenant("T1") == (0, 0)
    brief = [a.address("T1", f"brief-{n}") for n in range(45)]  # more than are looked at in two rounds
    for address in brief:
        await a.publishing(address, b"x" * 1_000, keep=Retention(1_000, 1))
        a._budget.note_published("T1", address.room, None)
    await a._budget.enforce()
    assert (await a.measure_tenant("T1")).history_bytes > 45_000
    await fill(a, "kept", 10)
    a._budget.note_published("T1", "kept", None)
    await a._budget.enforce()
    assert await a.claim_room(brief[0], None) == 1
    assert await a.claim_room(brief[1], None) == 2
    assert await a.claim_room(brief[1], None) == 2
    for address in brief:
        await eventually(partial(has_run_out, a, address))
    rooms, history_bytes = await a.measure_tenant("T1")
    assert rooms == 2
    assert 10_000 < history_bytes < 20_000
    assert (await a.measure_tenant("T2")) == (0, 0)


async def test_measuring_a_tenant_of_which_nothing_is_there_leaves_nothing_there(a: Node) -> None:
    before = await a._link.ask_all([pack("DBSIZE")])
    await a.measure_tenant("T-never-seen")
    assert await a._link.ask_all([pack("DBSIZE")]) == before


async def test_the_listener_enforces_budgets_by_itself_and_for_each_tenant_alone(a: Node) -> None:
    other = a.address("T2", "room")
    await a.publish(other, b"x" * 100_000)
    await fill(a, "room", 300)
    a._budget.note_published("T2", "room", 200_000)
    a._budget.note_published("T1", "room", 200_000)
    await eventually(lambda: cut_offset(a, "room"))
    assert len((await a.history(other)).messages) == 1
