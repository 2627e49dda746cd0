"""What `roomcast serve` runs: the embedded Valkey if no Redis is configured, and the node processes on one socket.

All are children that end with this process, however it ends. It imports no framework: it is up in a moment and small.

On SIGHUP it replaces the nodes, one after the other: another process serves on the same socket before the old one
drains, so that a new version is rolled out without a moment in which nobody serves.
"""

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec
import structlog

from service.brokers.embedded import EmbeddedValkey, EmbeddedValkeyError
from service.orders import Demo
from service.private_files import make_private_folder
from service.settings import Settings, write_settings
from service.worker import Worker

_BACKLOG: Final = 2048
_DRAIN_ALLOWANCE: Final = 1.5  # of drain_seconds: a loop under load, and the last answers
_GRACE_SECONDS: Final = 2.0  # for a worker's own end after what was under way had stop_timeout_seconds
_HURRY_SECONDS: Final = 3.0  # for a worker to hand its lease back when the operator does not wait

log = structlog.get_logger()


class StartError(Exception):
    """Roomcast can't start. Its text says why and what to do."""


class Supervisor:
    """One `roomcast serve`: `run` it once, on the main thread."""

    def __init__(self, settings: Settings, *, demo: bool = False, worker_module: str = "service.server") -> None:
        self._settings = settings
        self._demo = demo
        self._worker_module = worker_module
        self._valkey = None if settings.redis_url else EmbeddedValkey(settings.data_dir)
        self._workers: list[Worker] = []
        self._listeners: list[socket.socket] = []
        self._watching: list[asyncio.Task[None]] = []
        self._asked_to_stop = asyncio.Event()
        self._asked_to_replace = asyncio.Event()
        self._ends = 0  # signals that asked to stop
        self._has_terminal = has_terminal()

    async def run(self, announce: Callable[[str, Demo | None], None]) -> None:
        """Start everything, call `announce(address, demo tenant)`, and serve until SIGTERM or SIGINT.

        The signal ends all in good order, after the nodes have drained; a second one cuts the drain short, a third one
        kills the nodes. SIGHUP replaces them. Raises StartError.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._receive_end)
        loop.add_signal_handler(signal.SIGHUP, self._receive_hang_up)
        starting = asyncio.create_task(self._start())
        asked_to_stop = asyncio.create_task(self._asked_to_stop.wait())
        try:
            await asyncio.wait((starting, asked_to_stop), return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                demo = starting.result()
                announce(self.address, demo)
                await asked_to_stop
        finally:
            for task in (starting, asked_to_stop):
                task.cancel()
            await asyncio.gather(starting, asked_to_stop, return_exceptions=True)
            await self._stop()

    @property
    def address(self) -> str:
        """The HTTP address on which the nodes listen, as http://127.0.0.1:8000."""
        host, port = self._listeners[0].getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def _start(self) -> Demo | None:
        settings = self._settings
        make_data_dir(settings.data_dir)
        self._listeners.append(open_listener(settings.host, settings.port, "--port"))
        if settings.metrics_port is not None:
            for port in range(settings.metrics_port, settings.metrics_port + settings.workers):
                self._listeners.append(open_listener(settings.host, port, "--metrics-port"))
        for index in range(settings.workers):
            self._workers.append(
                Worker(index, self._worker_module, [self._listeners[0], *self._listeners[index + 1 :][:1]])
            )
        await asyncio.gather(*(worker.launch() for worker in self._workers))
        if self._valkey is not None:  # while the nodes load the application
            try:
                url = await self._valkey.start()
            except EmbeddedValkeyError as error:
                raise StartError(str(error)) from None
            settings = msgspec.structs.replace(settings, redis_url=url, redis_is_embedded=True)
            self._watching += map(asyncio.create_task, (self._valkey.supervise(), self._valkey.keep_synced()))
        variables = write_settings(settings)
        # the first node has loaded what readying the database takes; this process stays small
        prepared = await self._workers[0].prepare(variables, demo=self._demo)
        answers = [prepared]
        if prepared.error is None:
            answers += await asyncio.gather(*(worker.serve(variables) for worker in self._workers))
        for answer in answers:
            if answer.error is not None:
                raise StartError(answer.error)
        self._watching += [
            asyncio.create_task(worker.keep_running(variables, self._worker_left)) for worker in self._workers
        ]
        self._watching.append(asyncio.create_task(self._keep_replacing(variables)))
        return prepared.demo

    async def _keep_replacing(self, variables: Mapping[str, str]) -> None:
        """Replace all workers, one after the other, whenever it is asked for."""
        while True:
            await self._asked_to_replace.wait()
            self._asked_to_replace.clear()
            for worker in self._workers:
                # The first one of a new version changes the database; the old version goes on with it.
                if not await worker.replace(variables, self._end_seconds, prepare=worker is self._workers[0]):
                    break
            else:
                log.info("all workers were replaced", count=len(self._workers))

    @property
    def _end_seconds(self) -> float:
        """How long a worker may take to drain and end."""
        settings = self._settings
        return _DRAIN_ALLOWANCE * settings.drain_seconds + settings.stop_timeout_seconds + _GRACE_SECONDS

    async def _stop(self) -> None:
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        for listener in self._listeners:
            listener.close()  # the workers' copies go with them; with this one open, clients would wait for an answer
        await asyncio.gather(*(worker.stop(self._end_seconds) for worker in self._workers))
        if self._valkey is not None:
            await self._valkey.stop()

    def _receive_end(self) -> None:
        self._ends += 1
        self._asked_to_stop.set()
        if self._ends == 2:
            for worker in self._workers:
                worker.hurry()
            asyncio.get_running_loop().call_later(_HURRY_SECONDS, self._kill_workers)
        elif self._ends > 2:
            self._kill_workers()

    def _receive_hang_up(self) -> None:
        if self._has_terminal and not has_terminal():  # it was closed, which is no wish for a new version
            self._receive_end()
        else:
            self._asked_to_replace.set()

    def _kill_workers(self) -> None:
        for worker in self._workers:
            worker.kill()

    def _worker_left(self) -> None:
        if all(worker.has_left for worker in self._workers):
            log.info("all workers have drained")
            self._asked_to_stop.set()


def has_terminal() -> bool:
    """Whether the process has a terminal that is open."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def make_data_dir(data_dir: Path) -> None:
    """Make the data directory, for its owner alone, if it is not there. Raises StartError."""
    try:
        make_private_folder(data_dir)
    except OSError as error:
        raise StartError(
            f"The data directory {data_dir} can't be used ({error.strerror}): choose another with --data-dir."
        ) from None


def open_listener(host: str, port: int, flag: str) -> socket.socket:
    """A socket that listens on the TCP port. Raises StartError, which names `flag` as the way to another port."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server((str(address[0]), port), family=family, backlog=_BACKLOG)
    except socket.gaierror as error:
        raise StartError(
            f"The host {host!r} is unknown ({error.strerror}): give an address of this machine by --host."
        ) from None
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                why, remedy = "is in use", f"stop what listens there, or choose another port with {flag}"
            case errno.EACCES:
                why, remedy = "is not allowed", f"choose a port from 1024 on with {flag}"
            case _:
                why, remedy = f"can't be had ({error.strerror})", "give an address of this machine by --host"
        raise StartError(f"Port {port} of {host} {why}: {remedy}.") from None
