"""A node process as the supervisor sees it: started on inherited sockets, ready when it says so, started again."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import structlog

from service.brokers.embedded import end_process
from service.orders import Answer, Order
from service.parent_death import end_with_parent

_BACKOFF_SECONDS: Final = (0.1, 5.0)  # first and longest wait before a restart; doubled each time it fails soon
_STEADY_SECONDS: Final = 10.0  # alive that long, the next restart waits the shortest time again

log = structlog.get_logger()


class Worker:
    """One node process and those that take its place when it crashes.

    `launch` starts the process, which loads the application (1.3 s of CPU) and waits for its orders:
    `prepare`, if it is the first one, then `serve`.
    """

    def __init__(self, index: int, module: str, listeners: Sequence[socket.socket]) -> None:
        self._index = index
        self._module = module
        self._listeners = listeners
        self._process: Process | None = None
        self._control: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def pid(self) -> int | None:
        """The process id, None while it does not run."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def launch(self) -> None:
        """Start the process, up to where it needs its settings."""
        control, control_in_child = socket.socketpair()
        with control_in_child:
            descriptors = [control_in_child.fileno(), *(listener.fileno() for listener in self._listeners)]
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", self._module, str(self._index), *map(str, descriptors)),
                stdin=DEVNULL,
                pass_fds=descriptors,
                start_new_session=True,  # Ctrl-C in a terminal goes to the supervisor alone, which ends all in order
                preexec_fn=end_with_parent,
            )
        self._control = await asyncio.open_connection(sock=control)

    async def prepare(self, variables: Mapping[str, str], *, demo: bool) -> Answer:
        """Have it ready the database of these settings, and a demo tenant."""
        return await self._ask(Order("prepare demo" if demo else "prepare", variables))

    async def serve(self, variables: Mapping[str, str]) -> Answer:
        """Have it serve with these settings; back once it does, or can't."""
        try:
            return await self._ask(Order("serve", variables))
        finally:
            if self._control is not None:
                self._control[1].close()

    async def _ask(self, order: Order) -> Answer:
        assert self._control is not None  # noqa: S101 - launched before
        reader, writer = self._control
        with contextlib.suppress(ConnectionError):
            writer.write(msgspec.json.encode(order) + b"\n")
            if line := await reader.readline():
                return msgspec.json.decode(line, type=Answer)
        return Answer(error="A node did not start: the log above says why.")

    async def keep_running(self, variables: Mapping[str, str]) -> None:
        """Start the process again whenever it ends, after 0.1 s, up to 5 s when it keeps failing; for ever."""
        loop = asyncio.get_running_loop()
        wait_seconds, longest_seconds = _BACKOFF_SECONDS
        started = loop.time()
        while self._process is not None:
            exit_code = await self._process.wait()
            if loop.time() - started > _STEADY_SECONDS:
                wait_seconds = _BACKOFF_SECONDS[0]
            log.error(
                "worker ended, starting it again", worker=self._index, exit_code=exit_code, retry_seconds=wait_seconds
            )
            await asyncio.sleep(wait_seconds)
            wait_seconds = min(wait_seconds * 2, longest_seconds)
            started = loop.time()
            await self.launch()
            answer = await self.serve(variables)
            if answer.error is None:
                log.info("worker is back", worker=self._index, process=self.pid)
            else:
                log.error("worker did not start", worker=self._index, error=answer.error)

    async def stop(self, timeout_seconds: float) -> None:
        """Have it end in good order, by force after the timeout; back when it is gone."""
        if self._process is not None:
            await end_process(self._process, timeout_seconds)

    def kill(self) -> None:
        """End it at once."""
        if (pid := self.pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
