"""A primary, two replicas and three Sentinels of the tests' own, to be killed, frozen, cut off and started again."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from service.brokers.server_binary import find_server
from tests.support.forwarder import Forwarder

SERVICE = "main"
SERVERS = 3
SENTINELS = 3
DOWN_AFTER_MS = 1_000
FAILOVER_TIMEOUT_MS = 3_000


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class SentinelGroup:
    """Servers are 0, 1, 2 (0 is the first primary). Everybody reaches a server through its forwarder, and knows it by
    the forwarder's port; the servers' own connections come from addresses of their own: so one can be cut off.

    options: of the servers' configuration, as `("appendonly yes",)`. folder: for configurations and data.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._options = options
        ports = free_ports(2 * SERVERS + SENTINELS)
        self._ports, self._shown_ports = ports[:SERVERS], ports[SERVERS : 2 * SERVERS]
        self._sentinel_ports = ports[2 * SERVERS :]
        hosts = ",".join(f"127.0.0.1:{port}" for port in self._sentinel_ports)
        self.url = f"redis+sentinel://{hosts}/{SERVICE}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._cut_off: set[int] = set()
        self._forwarders = [
            Forwarder(shown, port, self._is_cut(server))
            for server, (shown, port) in enumerate(zip(self._shown_ports, self._ports, strict=True))
        ]
        #: To each server directly, whatever is cut off.
        self.clients = [redis.Redis(port=port, retry=Retry(NoBackoff(), 0), socket_timeout=1) for port in self._ports]
        self._sentinels = [
            redis.Redis(port=port, retry=Retry(NoBackoff(), 0), socket_timeout=1) for port in self._sentinel_ports
        ]

    def start(self) -> None:
        """Back when the Sentinels know both replicas, those are in sync, and the Sentinels know each other; ~3 s."""
        for forwarder in self._forwarders:
            forwarder.start()
        for server in range(SERVERS):
            self._configure_server(server)
            self.restart(server)
        for sentinel, port in enumerate(self._sentinel_ports):
            self._configure_sentinel(sentinel, port)
            self._run(f"sentinel-{sentinel}", "--sentinel")
        _until(self._is_complete, 30)

    def stop(self) -> None:
        """End all of them."""
        self._cut_off.clear()
        for process in self._processes.values():
            process.kill()
            process.wait()
        for forwarder in self._forwarders:
            forwarder.stop()
        for client in (*self.clients, *self._sentinels):
            client.close()

    @property
    def primary(self) -> int:
        """The server that most Sentinels name."""
        named = [name for sentinel in range(SENTINELS) if (name := self._named_by(sentinel)) is not None]
        return max(set(named), key=named.count)

    def kill(self, server: int) -> None:
        """kill -9."""
        process = self._processes.pop(f"server-{server}")
        process.kill()
        process.wait()

    def restart(self, server: int) -> None:
        """Start a killed one with its configuration, which Sentinel may have changed, and its data."""
        self._run(f"server-{server}")
        _until(lambda: _answers(self.clients[server]), 10)

    def freeze(self, server: int) -> None:
        """SIGSTOP: it neither answers nor closes."""
        os.kill(self._processes[f"server-{server}"].pid, signal.SIGSTOP)

    def thaw(self, server: int) -> None:
        """SIGCONT."""
        os.kill(self._processes[f"server-{server}"].pid, signal.SIGCONT)

    def cut_off(self, server: int) -> None:
        """Nothing reaches it and nothing of it reaches another server; it goes on by itself."""
        self._cut_off.add(server)

    def reconnect(self, server: int) -> None:
        """The end of `cut_off`: what waited is delivered."""
        self._cut_off.discard(server)

    def switch(self) -> None:
        """Have the Sentinels make a replica the primary, though nothing is wrong: the old one lives on as a replica."""
        self._sentinels[0].sentinel_failover(SERVICE)

    def freeze_sentinel(self, sentinel: int) -> None:
        """SIGSTOP; it stays so until `stop`."""
        os.kill(self._processes[f"sentinel-{sentinel}"].pid, signal.SIGSTOP)

    def follow(self, server: int) -> None:
        """Make it the primary's replica now, as the Sentinels do some 10 s after it came back as a primary."""
        client: Any = self.clients[server]
        client.replicaof("127.0.0.1", self._shown_ports[self.primary])

    async def failed_over(self, old: int, within_seconds: float = 20) -> int:
        """Wait until most Sentinels name another primary than `old`, and it is one; which it is."""
        deadline = time.monotonic() + within_seconds
        while (new := await asyncio.to_thread(self._successor_of, old)) is None:
            assert time.monotonic() < deadline, "no failover"
            await asyncio.sleep(0.02)
        return new

    async def is_whole(self, within_seconds: float = 30) -> None:
        """Wait until all servers are back: the others are the primary's replicas, in sync."""
        await asyncio.to_thread(_until, self._is_complete, within_seconds)

    def _successor_of(self, old: int) -> int | None:
        names = [self._named_by(sentinel) for sentinel in range(SENTINELS)]
        new = max(set(names), key=names.count)
        if new is None or new == old or names.count(new) <= SENTINELS // 2:
            return None
        with contextlib.suppress(redis.RedisError):
            return new if self.clients[new].info("replication")["role"] == "master" else None
        return None

    def _named_by(self, sentinel: int) -> int | None:
        with contextlib.suppress(redis.RedisError):
            named: Any = self._sentinels[sentinel].sentinel_get_master_addr_by_name(SERVICE)
            return self._shown_ports.index(int(named[1]))
        return None

    def _is_complete(self) -> bool:
        try:
            replication = self.clients[self.primary].info("replication")
            links = [self.clients[server].info("replication") for server in range(SERVERS) if server != self.primary]
            known: list[Any] = [sentinel.sentinel_master(SERVICE) for sentinel in self._sentinels]
        except (redis.RedisError, ValueError):
            return False
        return (
            replication["role"] == "master"
            and all(link.get("master_link_status") == "up" for link in links)
            and all(facts["num-slaves"] >= SERVERS - 1 for facts in known)
            and all(facts["num-other-sentinels"] == SENTINELS - 1 for facts in known)
            and all(facts["flags"] == "master" for facts in known)
        )

    def _is_cut(self, server: int) -> Callable[[str], bool]:
        def is_cut(source: str) -> bool:
            return server in self._cut_off or any(source == _address_of(other) for other in self._cut_off)

        return is_cut

    def _configure_server(self, server: int) -> None:
        folder = self._folder / f"server-{server}"
        folder.mkdir(parents=True)
        lines = [
            f"port {self._ports[server]}",
            f"bind-source-addr {_address_of(server)}",
            f"replica-announce-port {self._shown_ports[server]}",
            "replica-announce-ip 127.0.0.1",
            "repl-diskless-sync-delay 0",
            'save ""',
            *self._options,
        ]
        if server:
            lines.append(f"replicaof 127.0.0.1 {self._shown_ports[0]}")
        self._write(folder, lines)

    def _configure_sentinel(self, sentinel: int, port: int) -> None:
        folder = self._folder / f"sentinel-{sentinel}"
        folder.mkdir(parents=True)
        lines = [
            f"port {port}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {self._shown_ports[0]} {SENTINELS // 2 + 1}",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {SERVICE} {FAILOVER_TIMEOUT_MS}",
            f"sentinel parallel-syncs {SERVICE} 2",
        ]
        self._write(folder, lines)

    def _write(self, folder: Path, lines: list[str]) -> None:
        lines += ["bind 127.0.0.1", f"dir {folder}", f"logfile {folder / 'log'}"]
        (folder / "conf").write_text("\n".join(lines) + "\n")

    def _run(self, name: str, *arguments: str) -> None:
        command = [find_server(), str(self._folder / name / "conf"), *arguments]
        self._processes[name] = subprocess.Popen(command, stdout=subprocess.DEVNULL)


def _address_of(server: int) -> str:
    return f"127.0.0.{11 + server}"


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def _until(holds: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.02)
