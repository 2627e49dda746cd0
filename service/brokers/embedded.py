"""A Valkey of one's own when no Redis is configured: started, watched and stopped by the `serve` supervisor.

It listens on a unix socket alone, in a 0700 folder under the system's temporary one (a socket's path ends at 107
bytes), and keeps its data as an append-only file in the data directory.

The file is synced to the disk every second, by us: with `appendfsync everysec` Valkey holds back writes that it has
acknowledged while a sync is under way, up to 2 s (`flushAppendOnlyFile`), and a kill of the process loses them: 768 of
4,373 with syncs that took 1.5 s, none with ours. A power cut may lose a second.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import tempfile
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path
from typing import Final

import structlog

from service.brokers.server_binary import NoServerError, find_server
from service.parent_death import end_with_parent
from service.private_files import make_private_folder, write_private_file

_SOCKET_PATH_MAX_BYTES: Final = 107
_START_TIMEOUT_SECONDS: Final = 10.0  # without a sign of life; loading a big file answers -LOADING and may take longer
_ORPHAN_TIMEOUT_SECONDS: Final = 10.0
_STOP_TIMEOUT_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.01
_BACKOFF_SECONDS: Final = (0.1, 5.0)  # first and longest wait before a restart; doubled each time it fails soon
_SYNC_SECONDS: Final = 1.0  # what a power cut may lose
_STEADY_SECONDS: Final = 10.0  # alive that long, the next restart waits the shortest time again

log = structlog.get_logger()


class EmbeddedValkeyError(Exception):
    """No embedded Valkey can run here. Its text says why and what to do."""


class EmbeddedValkey:
    """One Valkey (or Redis) server process on the append-only file in `data_dir`.

    `start`, then `supervise` in a task, at the end cancel that and `stop`. `url` is the same over restarts. All must be
    called on the main thread: Linux ends a child with a parent-death signal when the *thread* that started it ends.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.absolute()
        self._folder = self._data_dir / "valkey"
        self._pointer = self._data_dir / "valkey.path"
        self._socket: Path | None = None
        self._lock: int | None = None  # held by this process: one serve for a data directory
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """The `unix://` URL on which nodes reach it; only between `start` and `stop`."""
        if self._socket is None:
            raise RuntimeError("the embedded Valkey is not started")
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int | None:
        """The server's process id, None while it is not running."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> str:
        """Start the server and wait until it answers PING (0.1 s on little data); the answer is `url`.

        Raises EmbeddedValkeyError: the data directory is in use, no server fits, or it does not come up.
        """
        make_private_folder(self._data_dir)
        self._lock = _lock(self._data_dir / "valkey.lock")
        if self._lock is None:
            raise EmbeddedValkeyError(
                f"Another `roomcast serve` uses the data directory {self._data_dir}: stop it, or choose another with "
                "--data-dir, or let both share one Redis with --redis-url."
            )
        try:
            make_private_folder(self._folder)
            self._socket = _make_socket_path()
            await self._launch()
            _remove_socket_folder(_read_pointer(self._pointer))  # of a supervisor that was killed
            write_private_file(self._pointer, str(self._socket))
        except BaseException:
            await self.stop()
            raise
        return self.url

    async def supervise(self) -> None:
        """Start the server again whenever it ends, after 0.1 s, up to 5 s when it keeps failing; for ever."""
        loop = asyncio.get_running_loop()
        wait_seconds, longest_seconds = _BACKOFF_SECONDS
        while True:
            started = loop.time()
            exit_code = await self._process.wait() if self._process is not None else None
            if loop.time() - started > _STEADY_SECONDS:
                wait_seconds = _BACKOFF_SECONDS[0]
            log.error("embedded Valkey ended, starting it again", exit_code=exit_code, retry_seconds=wait_seconds)
            await asyncio.sleep(wait_seconds)
            wait_seconds = min(wait_seconds * 2, longest_seconds)
            try:
                await self._launch()
                log.info("embedded Valkey is back", process=self.pid)
            except EmbeddedValkeyError as error:
                log.error("embedded Valkey did not start", error=str(error))

    async def keep_synced(self) -> None:
        """Have the disk take what the server has written, once a second, for ever."""
        while True:
            await asyncio.sleep(_SYNC_SECONDS)
            try:
                await asyncio.to_thread(_sync, self._folder / "appendonlydir")
            except OSError as error:
                log.error("the append-only file is not synced to the disk", error=str(error))

    async def stop(self) -> None:
        """End the server, its file flushed, and free the data directory. Also fine when it never started."""
        if self._process is not None:
            await end_process(self._process, _STOP_TIMEOUT_SECONDS)
            self._process = None
        if self._socket is not None:
            self._pointer.unlink(missing_ok=True)
            _remove_socket_folder(self._socket)
            self._socket = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def _launch(self) -> None:
        """Start the process on the socket's path and wait for its PONG."""
        assert self._socket is not None  # noqa: S101 - set by start
        log_file = self._folder / "valkey.log"
        try:
            program = find_server()
        except NoServerError as error:
            raise EmbeddedValkeyError(str(error)) from None
        data_lock = await self._lock_data()
        try:
            self._process = await asyncio.create_subprocess_exec(
                program,
                *_arguments(self._folder, self._socket, log_file),
                stdin=DEVNULL,
                stdout=DEVNULL,
                stderr=DEVNULL,
                pass_fds=(data_lock,),
                start_new_session=True,  # Ctrl-C in a terminal goes to the supervisor, which ends it in good order
                preexec_fn=end_with_parent,
            )
        finally:
            os.close(data_lock)  # the server's copy keeps the lock until it, and any child that it forked, ended
        if not await _answers(self._socket, self._process):
            await end_process(self._process, _STOP_TIMEOUT_SECONDS)
            raise EmbeddedValkeyError(
                f"The embedded Valkey does not start ({_last_line(log_file)}): see {log_file}, or use a Redis of "
                "your own with --redis-url."
            )

    async def _lock_data(self) -> int:
        """The lock that the server inherits; waits for one whose supervisor was killed to finish writing its file."""
        path = self._folder / "server.lock"
        for attempt in range(int(_ORPHAN_TIMEOUT_SECONDS / _POLL_SECONDS)):
            if (lock := _lock(path)) is not None:
                return lock
            if attempt == 0 and (orphan := _read_pointer(self._pointer)):
                with contextlib.suppress(OSError):  # where no parent-death signal exists it would live on
                    await _ask(orphan, b"SHUTDOWN\r\n")
            await asyncio.sleep(_POLL_SECONDS)
        raise EmbeddedValkeyError(
            f"A Valkey of an earlier run still writes to {self._folder}: end that process (`fuser {path}` "
            "names it), then start again."
        )


async def end_process(process: Process, timeout_seconds: float, number: signal.Signals = signal.SIGTERM) -> None:
    """Ask the process to end by a signal, end it by SIGKILL after the timeout, and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
    try:
        # Not `wait_for`: Python 3.11's swallows a cancellation that comes as the process ends.
        async with asyncio.timeout(timeout_seconds):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def running_url(data_dir: Path) -> str | None:
    """The `unix://` URL of the embedded Valkey that a running `serve` has on this data directory, else None."""
    path = _read_pointer(data_dir.absolute() / "valkey.path")
    return f"unix://{path}" if path is not None and path.is_socket() else None


def _arguments(folder: Path, socket: Path, log_file: Path) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "600",
        "dir": str(folder),
        "logfile": str(log_file),
        "loglevel": "warning",
        "appendonly": "yes",
        "appendfsync": "no",  # see above
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def _sync(folder: Path) -> None:
    """Sync the files that are appended to: one, and while the server rewrites it two."""
    for path in folder.glob("*.incr.aof"):
        with contextlib.suppress(FileNotFoundError):  # rewritten, and gone meanwhile
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


async def _answers(socket: Path, process: Process) -> bool:
    """Whether the server answers PING; waits while it loads its file, and up to 10 s for the first sign of life."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _START_TIMEOUT_SECONDS
    while process.returncode is None and loop.time() < deadline:
        with contextlib.suppress(OSError):
            answer = await _ask(socket, b"PING\r\n")
            if answer.startswith(b"+PONG"):
                return True
            if answer.startswith(b"-LOADING"):
                deadline = loop.time() + _START_TIMEOUT_SECONDS
        await asyncio.sleep(_POLL_SECONDS)
    return False


async def _ask(socket: Path, command: bytes) -> bytes:
    """The first line that a server on this socket answers; empty when it closes."""
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        writer.write(command)
        async with asyncio.timeout(1):
            return await reader.readline()
    finally:
        writer.close()


def _lock(path: Path) -> int | None:
    """A descriptor that holds an exclusive lock on the file until all its copies are closed; None: it is taken."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _make_socket_path() -> Path:
    """A socket's path in a fresh folder that only this user may enter."""
    path = Path(tempfile.mkdtemp(prefix="roomcast-")) / "valkey.sock"
    if len(os.fsencode(path)) > _SOCKET_PATH_MAX_BYTES:
        path.parent.rmdir()
        path = Path(tempfile.mkdtemp(prefix="roomcast-", dir="/tmp")) / "valkey.sock"
    return path


def _remove_socket_folder(socket: Path | None) -> None:
    if socket is not None and socket.parent.name.startswith("roomcast-"):
        shutil.rmtree(socket.parent, ignore_errors=True)


def _read_pointer(pointer: Path) -> Path | None:
    try:
        return Path(pointer.read_text())
    except FileNotFoundError:
        return None


def _last_line(log_file: Path) -> str:
    with contextlib.suppress(OSError):
        if lines := log_file.read_text(errors="replace").strip().splitlines():
            return lines[-1]
    return "it wrote no log"
