"""What abuse costs a server process: the echo server's resident memory, before and while clients misbehave."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from socket import socket

import pytest

from service.transports.frames import BINARY, PING
from service.transports.socket_rules import SocketRules
from tests.support.raw_socket import client_frame, client_header, upgraded

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc"),
]

CLIENTS = 10


@pytest.fixture
def anyio_backend() -> str:
    """The client's loop; the server's is uvloop."""
    return "asyncio"


class EchoProcess:
    """The echo server in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process, self.port = process, port

    def resident_kilobytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])


@pytest.fixture
async def echo() -> AsyncIterator[EchoProcess]:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.echo_server", str(port), cwd=Path(__file__).parents[2]
    )
    try:
        async with asyncio.timeout(20):
            while True:
                try:
                    async with upgraded(port, client_frame(b"ready")) as client:
                        await client.receive_frame()
                    break
                except OSError:
                    await asyncio.sleep(0.02)
        yield EchoProcess(process, port)
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.parametrize(
    "poison",
    [
        pytest.param(
            client_frame(b"", final=False) + client_frame(b"", 0, final=False) * 200_000, id="empty fragments"
        ),
        pytest.param(client_header((1 << 63) - 1) + b"\0" * 1_000_000, id="2^63 - 1 bytes"),
        pytest.param(client_frame(b"p" * 125, PING) * 20_000, id="pings, not reading"),
        pytest.param(client_frame(b"x" * 60_000, BINARY) * 250, id="messages, not reading the echo"),
        pytest.param(client_header(SocketRules().max_frame_bytes) + b"mask" + b"y" * 60_000, id="unfinished messages"),
    ],
)
async def test_memory_stays_bounded(echo: EchoProcess, poison: bytes) -> None:
    before = echo.resident_kilobytes()
    most = 0
    async with AsyncExitStack() as clients:
        for _ in range(CLIENTS):
            client = await clients.enter_async_context(upgraded(echo.port))
            client.fall_asleep()
            for start in range(0, len(poison), 256 * 1024):
                client.send(poison[start : start + 256 * 1024])
                try:
                    async with asyncio.timeout(0.2):
                        await client.writer.drain()
                except (TimeoutError, ConnectionError):
                    break  # it reads no more from this one
                most = max(most, echo.resident_kilobytes())
        async with upgraded(echo.port, client_frame(b"still there")) as other:
            assert (await other.receive_frame())[1] == b"still there"
    # Per client: at most an outbox of 1 MiB with its joined copy; 200 KB are what it takes in the common case.
    assert most - before < CLIENTS * 2_500
