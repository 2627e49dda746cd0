"""A node process as the supervisor sees it: started on inherited sockets, ready when it says so, started again when it
crashed, and replaced without a moment in which nobody serves.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Mapping, Sequence
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
    """One node process and those that take its place when it crashes, or when it is to be replaced.

    `launch` starts the process, which loads the application (1.3 s of CPU) and waits for its orders:
    `prepare`, if it is the first one, then `serve`.
    """

    def __init__(self, index: int, module: str, listeners: Sequence[socket.socket]) -> None:
        self._index = index
        self._module = module
        self._listeners = listeners
        self._process: Process | None = None
        self._control: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._predecessor: Process | None = None  # while it drains
        self._starting = asyncio.Lock()
        self._replaced = asyncio.Event()
        #: It drained because somebody asked it to, and nobody has taken its place.
        self.has_left = False

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

    async def keep_running(self, variables: Mapping[str, str], told_left: Callable[[], None]) -> None:
        """Start the process again whenever it crashes, after 0.1 s, up to 5 s when it keeps failing; for ever.

        One that ends with 0 was drained by its operator: `told_left` is called, and it stays away until it is replaced.
        """
        loop = asyncio.get_running_loop()
        wait_seconds, longest_seconds = _BACKOFF_SECONDS
        started = loop.time()
        while (process := self._process) is not None:
            exit_code = await process.wait()
            if exit_code == 0 and process is self._process:
                log.info("worker has drained", worker=self._index)
                self.has_left = True
                told_left()
                self._replaced.clear()
                await self._replaced.wait()
            if process is not self._process:
                started = loop.time()
                continue
            if loop.time() - started > _STEADY_SECONDS:
                wait_seconds = _BACKOFF_SECONDS[0]
            log.error(
                "worker ended, starting it again", worker=self._index, exit_code=exit_code, retry_seconds=wait_seconds
            )
            await asyncio.sleep(wait_seconds)
            wait_seconds = min(wait_seconds * 2, longest_seconds)
            started = loop.time()
            async with self._starting:
                if process is self._process:
                    await self._start_again(variables)

    async def _start_again(self, variables: Mapping[str, str]) -> None:
        await self.launch()
        answer = await self.serve(variables)
        if answer.error is None:
            log.info("worker is back", worker=self._index, process=self.pid)
        else:
            log.error("worker did not start", worker=self._index, error=answer.error)

    async def replace(self, variables: Mapping[str, str], timeout_seconds: float, *, prepare: bool) -> bool:
        """Start another process on the same sockets; when it serves, have the old one drain and end.

        False: the other one did not start, and the old one stays. prepare: have it ready the database first.
        timeout_seconds: for the old one; then it is killed.
        """
        async with self._starting:
            successor = Worker(self._index, self._module, self._listeners)
            try:
                await successor.launch()
                answer = await successor.prepare(variables, demo=False) if prepare else Answer()
                if answer.error is None:
                    answer = await successor.serve(variables)
            except BaseException:
                successor.kill()
                raise
            if answer.error is not None:
                log.error("worker did not start, the old one stays", worker=self._index, error=answer.error)
                await successor.stop(0)
                return False
            self._predecessor, self._process = self._process, successor._process
            self.has_left = False
            self._replaced.set()
        if self._predecessor is not None:
            await end_process(self._predecessor, timeout_seconds, signal.SIGHUP)
            self._predecessor = None
        log.info("worker was replaced", worker=self._index, process=self.pid)
        return True

    async def stop(self, timeout_seconds: float) -> None:
        """Have it end in good order, by force after the timeout; back when it is gone."""
        processes = [process for process in (self._process, self._predecessor) if process is not None]
        await asyncio.gather(*(end_process(process, timeout_seconds) for process in processes))

    def hurry(self) -> None:
        """It was told to stop: have it cut its drain short."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        for process in (self._process, self._predecessor):
            if process is not None and process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, number)
