"""Nodes as real processes, on one Redis and one database, that can be killed, frozen and started again; and `serve`."""

import asyncio
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import msgspec

from service.orders import Order
from service.settings import Settings, write_settings
from tests.support.processes import children_of


class LiveNode:
    """One node: `python -m service.server`, as the supervisor starts it. It has the same port after each start."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self._variables = write_settings(settings) | {"ROOMCAST_LOG_FORMAT": "json"}
        self.log = log
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    @property
    def address(self) -> str:
        """As http://127.0.0.1:8000."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of a node that runs."""
        assert self._process is not None
        return self._process.pid

    def start(self, descriptor_limit: int | None = None) -> "LiveNode":
        """Start the process, with so many file descriptors at most; `wait` until it serves."""
        listener = socket.create_server(("127.0.0.1", self.port), backlog=2048)
        self.port = listener.getsockname()[1]
        self._control, control_in_child = socket.socketpair()
        descriptors = (control_in_child.fileno(), listener.fileno())
        with listener, control_in_child, self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "service.server", "0", *map(str, descriptors)],
                pass_fds=descriptors,
                stdout=log,
                stderr=log,
            )
        if descriptor_limit is not None:
            resource.prlimit(self._process.pid, resource.RLIMIT_NOFILE, (descriptor_limit, descriptor_limit))
        self._control.sendall(msgspec.json.encode(Order("serve", self._variables)) + b"\n")
        return self

    def wait(self) -> "LiveNode":
        """Back when it serves."""
        assert self._control is not None
        with self._control as control, control.makefile("rb") as lines:
            answer = lines.readline()
        assert answer, self.log.read_text()[-4000:]
        assert b"error" not in answer, answer
        return self

    def freeze(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def terminate(self) -> None:
        """SIGTERM; `ended` waits for the end."""
        self._signal(signal.SIGTERM)

    def hang_up(self) -> None:
        """SIGHUP: it ends as for a restart."""
        self._signal(signal.SIGHUP)

    def ended(self) -> int:
        """The exit code, once it has ended."""
        assert self._process is not None
        code = self._process.wait(20)
        self._process = None
        return code

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End in good order, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()
        self._process = None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    async def becomes(self, status: int, within_seconds: float = 10) -> None:
        """Wait until /health/ready answers `status`."""
        deadline = time.monotonic() + within_seconds
        seen: object = None
        async with httpx.AsyncClient() as client:
            while time.monotonic() < deadline:
                try:
                    seen = (await client.get(f"{self.address}/health/ready", timeout=2)).status_code
                except httpx.HTTPError as error:
                    seen = error
                if seen == status:
                    return
                await asyncio.sleep(0.02)
        raise AssertionError(f"/health/ready answers {seen!r}, not {status}")


class LiveServe:
    """`roomcast serve` with workers of its own and a Valkey of its own."""

    def __init__(self, settings: Settings, log: Path) -> None:
        variables = write_settings(settings) | {"ROOMCAST_LOG_FORMAT": "json", "ROOMCAST_PORT": "0"}
        self.log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "service", "serve"],
                env={**os.environ, **variables},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self._process.stdout is not None
        address = re.search(r"http://[\d.]+:\d+", self._process.stdout.readline())
        assert address, log.read_text()[-4000:]
        self.address = address[0]

    @property
    def workers(self) -> set[int]:
        """The processes of its nodes."""
        return children_of(self._process.pid, "service.server")

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """To the supervisor."""
        self._process.send_signal(number)

    def ended(self) -> int:
        """The exit code, once it has ended."""
        with self._process as process:
            return process.wait(20)

    def stop(self) -> None:
        """End in good order, if it runs."""
        if self._process.poll() is None:
            self._process.terminate()
        self.ended()
