import asyncio

import pytest

from service.transports.frames import BINARY, CLOSE, PING, PONG, TEXT, close_frame, frame
from service.transports.live_socket import FRAMES_PER_TURN
from tests.support.raw_socket import client_frame, client_header, upgraded
from tests.transports.conftest import Hosting, Recorder

pytestmark = pytest.mark.anyio


async def test_messages_are_echoed_in_kind_and_order(hosting: Hosting) -> None:
    async with hosting() as host, upgraded(host.port) as client:
        client.send(client_frame(b"one") + client_frame(b"two", BINARY) + client_frame(b"\xc3\xbc" * 30_000))
        assert await client.receive_frame() == (TEXT, b"one")
        assert await client.receive_frame() == (BINARY, b"two")
        assert await client.receive_frame() == (TEXT, b"\xc3\xbc" * 30_000)


async def test_frames_may_come_byte_by_byte(hosting: Hosting) -> None:
    async with hosting() as host, upgraded(host.port) as client:
        for byte in client_frame("grüße".encode(), final=False) + client_frame(b"!", PING) + client_frame(b"", 0):
            client.send(bytes((byte,)))
            await asyncio.sleep(0)
        assert await client.receive_frame() == (PONG, b"!")
        assert await client.receive_frame() == (TEXT, "grüße".encode())


async def test_many_frames_in_one_read_do_not_hold_up_other_sockets(hosting: Hosting) -> None:
    order: list[bytes] = []
    async with hosting() as host, upgraded(host.port) as busy, upgraded(host.port) as other:
        for _ in range(2):
            recorder = await host.accepted.get()
            recorder.answer = lambda payload, is_text: order.append(payload)
        count = 50 * FRAMES_PER_TURN
        busy.send(client_frame(b"b") * count + client_frame(b"last") + client_frame(b"\x03\xe8", CLOSE))
        other.send(client_frame(b"other"))
        assert await busy.receive_close() == 1000
        assert order.count(b"b") == count
        assert order[-1] == b"last"
        assert order.index(b"other") < 45 * FRAMES_PER_TURN


async def test_payloads_are_framed_as_the_subprotocol_wants(hosting: Hosting) -> None:
    async with hosting() as host, upgraded(host.port) as client:
        live = (await host.accepted.get()).live
        live.send_payload(b"{}")
        live.binary = True
        live.send_payload(b"\x80")
        assert await client.receive_frame() == (TEXT, b"{}")
        assert await client.receive_frame() == (BINARY, b"\x80")
        assert live.peer[:2] == client.writer.get_extra_info("sockname")


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        pytest.param(
            client_frame(b"", final=False) + client_frame(b"", 0, final=False) * 2_000_000, 1009, id="fragments"
        ),
        pytest.param(b"\x81\xff" + (1 << 63).to_bytes(8), 1002, id="2^63 bytes"),
        pytest.param(client_header((1 << 63) - 1), 1009, id="2^63 - 1 bytes"),
        pytest.param(client_frame(b"x" * 1_000_000), 1009, id="a message too long, sent whole"),
        pytest.param(client_frame(b"good \xff"), 1007, id="bad UTF-8"),
        pytest.param(b"\x81\x02no", 1002, id="not masked"),
    ],
)
async def test_broken_frames_are_told_alone_and_end_the_connection(hosting: Hosting, stream: bytes, code: int) -> None:
    async with hosting() as host, upgraded(host.port) as client:
        recorder = await host.accepted.get()
        client.send(client_frame(b"before") + stream + client_frame(b"after"))
        assert await client.receive_frame() == (TEXT, b"before")
        assert await client.receive_close() == code
        assert await client.receive_end() == b""
        client.writer.close()
        assert await recorder.lost == code
        assert (recorder.received, recorder.asked_closings) == ([b"before"], [])


@pytest.mark.parametrize(
    ("payload", "code"), [(b"\x03\xe8bye", 1000), (b"\x03\xe9", 1001), (b"\x0f\xa0", 4000), (b"", 1005)]
)
async def test_a_peers_close_is_answered_with_its_code(hosting: Hosting, payload: bytes, code: int) -> None:
    async with hosting() as host, upgraded(host.port) as client:
        recorder = await host.accepted.get()
        client.send(client_frame(b"last") + client_frame(payload, CLOSE))
        assert await client.receive_frame() == (TEXT, b"last")
        assert await client.receive_frame() == (CLOSE, payload[:2])
        assert await client.receive_end() == b""
        assert await recorder.lost == code
        assert recorder.asked_closings == []


async def test_our_close_comes_after_all_that_waits_and_takes_nothing_more(hosting: Hosting) -> None:
    async with hosting() as host, upgraded(host.port) as client:
        recorder = await host.accepted.get()
        recorder.live.send(frame(b"first"))
        recorder.live.close(4409, "by the server", closing=frame(b"closing"))
        recorder.live.send(frame(b"too late"))
        recorder.live.close(1000)
        assert await client.receive_frame() == (TEXT, b"first")
        assert await client.receive_frame() == (TEXT, b"closing")
        assert await client.receive_frame() == (CLOSE, (4409).to_bytes(2) + b"by the server")
        client.send(client_frame(b"not heard") + client_frame((4409).to_bytes(2), CLOSE))
        assert await client.receive_end() == b""
        assert await recorder.lost == 4409
        assert recorder.received == []


async def test_a_peer_that_does_not_answer_our_close_is_dropped(hosting: Hosting) -> None:
    async with hosting(close_timeout_seconds=0.05) as host, upgraded(host.port):
        recorder = await host.accepted.get()
        recorder.live.close(1000)
        assert await recorder.lost == 1000


async def test_a_connection_that_just_ends_has_no_code(hosting: Hosting) -> None:
    async with hosting() as host, upgraded(host.port) as client:
        recorder = await host.accepted.get()
        client.writer.close()
        assert await recorder.lost is None
        assert not host.server.server_state.connections


async def test_a_handler_may_close_from_within_a_message(hosting: Hosting) -> None:
    async with hosting() as host, upgraded(host.port) as client:
        recorder = await host.accepted.get()
        recorder.answer = lambda payload, is_text: recorder.live.close(1003, closing=frame(b"closing"))
        client.send(client_frame(b"wrong", BINARY) + client_frame(b"next"))
        assert await client.receive_frame() == (TEXT, b"closing")
        assert await client.receive_close() == 1003
        assert recorder.received == [b"wrong"]


@pytest.mark.provokes("close:1011")
async def test_a_handlers_bug_closes_with_1011(hosting: Hosting, caplog: pytest.LogCaptureFixture) -> None:
    def fail(payload: bytes, is_text: bool) -> None:
        raise ValueError(payload)

    async with hosting() as host, upgraded(host.port) as client:
        (await host.accepted.get()).answer = fail
        client.send(client_frame(b"secret payload"))
        assert await client.receive_frame() == (TEXT, b"closing 1011")
        assert await client.receive_close() == 1011
    assert "ValueError" in caplog.text
    assert "secret" not in caplog.text


async def test_the_heartbeat_pings_and_any_answer_is_life(hosting: Hosting) -> None:
    async with hosting(ping_interval_seconds=0.06, pong_timeout_seconds=0.03) as host, upgraded(host.port) as client:
        recorder = await host.accepted.get()
        for answer in (client_frame(b"", PONG), client_frame(b"x"), client_frame(b"", PONG)):
            while (await client.receive_frame())[0] != PING:
                pass
            client.send(answer)
        assert recorder.asked_closings == []


async def test_silence_after_a_ping_closes_with_4408(hosting: Hosting) -> None:
    async with hosting(ping_interval_seconds=0.03, pong_timeout_seconds=0.03) as host, upgraded(host.port) as client:
        assert await client.receive_frame() == (PING, b"")
        assert await client.receive_frame() == (TEXT, b"closing 4408")
        assert await client.receive_close() == 4408


async def test_an_unfinished_message_is_not_waited_for_for_ever(hosting: Hosting) -> None:
    async with hosting(message_timeout_seconds=0.05) as host, upgraded(host.port) as client:
        recorder = await host.accepted.get()
        client.send(client_frame(b"whole") + client_header(100)[:1])
        assert await client.receive_frame() == (TEXT, b"whole")
        assert await client.receive_frame() == (TEXT, b"closing 4408")
        assert await client.receive_close() == 4408
        assert recorder.received == [b"whole"]


async def test_shutdown_tells_every_socket_1012(hosting: Hosting) -> None:
    async with hosting() as host, upgraded(host.port) as one, upgraded(host.port) as two:
        for _ in range(2):
            await host.accepted.get()
        host.server.should_exit = True
        for client in (one, two):
            assert await client.receive_frame() == (TEXT, b"closing 1012")
            assert await client.receive_close() == 1012
            client.send(client_frame((1012).to_bytes(2), CLOSE))
            assert await client.receive_end() == b""


async def test_an_aborted_socket_is_lost_without_a_code(hosting: Hosting) -> None:
    async with hosting() as host, upgraded(host.port):
        recorder = await host.accepted.get()
        recorder.live.abort()
        recorder.live.send(frame(b"into the void"))
        assert await recorder.lost is None


def _refuse(recorder: Recorder) -> None:
    recorder.live.close(4401, closing=frame(b"closing 4401"))


async def test_a_socket_may_be_closed_before_it_starts(hosting: Hosting) -> None:
    async with hosting() as host:
        host.on_socket = _refuse
        async with upgraded(host.port, client_frame(b"early")) as client:
            recorder = await host.accepted.get()
            assert await client.receive_frame() == (TEXT, b"closing 4401")
            assert await client.receive_frame() == (CLOSE, close_frame(4401)[2:])
            client.send(client_frame((4401).to_bytes(2), CLOSE))
            assert await recorder.lost == 4401
            assert recorder.received == []
