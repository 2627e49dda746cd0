"""A Valkey of the tests' own, which can be killed, frozen and started again on its data."""

import os
import signal
import subprocess
import time
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from service.brokers.server_binary import find_server


class Valkey:
    """A server on a unix socket in `folder` (short: a socket's path ends at 107 bytes), with AOF everysec."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.folder = folder
        self._log = log
        self._socket = folder / "v.sock"
        self.url = f"unix://{self._socket}"
        self.client = redis.Redis(unix_socket_path=str(self._socket), retry=Retry(NoBackoff(), 0))
        self._process: subprocess.Popen[bytes] | None = None
        self._appendfsync = "everysec"

    def loses_nothing(self) -> None:
        """From now on, restarts included, nothing is acknowledged before it is on the disk.

        With `everysec` Valkey holds back what it has acknowledged while an fsync is under way on a busy disk, up to 2 s
        (`flushAppendOnlyFile` in its aof.c), and a kill in that moment takes it.
        """
        self._appendfsync = "always"
        self.client.config_set("appendfsync", self._appendfsync)

    def start(self) -> None:
        """Back when it answers, its file read."""
        options = {"port": "0", "unixsocket": self._socket, "dir": self.folder, "logfile": self._log, "save": ""}
        options |= {"appendonly": "yes", "appendfsync": self._appendfsync, "maxmemory-policy": "noeviction"}
        words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen([find_server(), *words], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            try:
                self.client.ping()
                break
            except redis.RedisError:
                assert self._process.poll() is None, self._log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.005)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self.client.connection_pool.disconnect()

    @property
    def pid(self) -> int:
        """The process id of a Valkey that runs."""
        assert self._process is not None
        return self._process.pid

    def freeze(self) -> None:
        """SIGSTOP: it neither answers nor closes."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """The end, for good."""
        self.kill()
        self.client.close()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)
