"""A Valkey Cluster of the tests' own: three primaries, each with a replica, which can be killed, frozen and moved."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

from service.brokers.server_binary import find_server

HOST: Final = "127.0.0.1"
SHARDS: Final = 3
SERVERS: Final = 2 * SHARDS  # 0-2 begin as primaries, 3-5 as the replicas of 0-2
SLOTS: Final = 16_384
BUS_OFFSET: Final = 10_000
NODE_TIMEOUT_MS: Final = 1_000  # a primary that is silent for so long is replaced about a second later
START_SECONDS: Final = 20.0  # the servers themselves wait 2 s before they call their cluster whole
LOOK_SECONDS: Final = 0.02
ANSWER_SECONDS: Final = 2.0
KEYS_AT_ONCE: Final = 20
_PRIMARY, _FIRST_SLOTS = 3, 8  # words of a line of CLUSTER NODES


class ValkeyCluster:
    """Servers 0-5 in folders of their own, with AOF everysec. A lost shard leaves the others in service.

    The whole cluster is known to each server from its beginning (nodes.conf), so that nobody has to meet.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._options = options
        self.ports = _free_ports()
        self.ids = [f"{number:x}" * 40 for number in range(1, SERVERS + 1)]
        self.url = f"redis+cluster://{','.join(f'{HOST}:{port}' for port in self.ports[:SHARDS])}"
        no_retry = Retry(NoBackoff(), 0)
        self.clients = [redis.Redis(HOST, port, retry=no_retry, socket_timeout=ANSWER_SECONDS) for port in self.ports]
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * SERVERS
        self._frozen: set[int] = set()

    # Life

    def start(self) -> None:
        """Back when all slots are served and every replica follows its primary."""
        for server in range(SERVERS):
            (self._folder / str(server)).mkdir()
            (self._folder / str(server) / "nodes.conf").write_text(self._known_from_the_start(server))
            self._spawn(server)
        for server in range(SERVERS):
            self._until_answers(server)
        _until(self._is_whole)

    def stop(self) -> None:
        """The end of all of them."""
        for server in range(SERVERS):
            self.kill(server)
            self.clients[server].close()

    def kill(self, server: int) -> None:
        """kill -9, as often as one likes."""
        process = self._processes[server]
        if process is not None:
            process.kill()
            process.wait()
            self._processes[server] = None
            self._frozen.discard(server)
            self.clients[server].connection_pool.disconnect()

    def restart(self, server: int) -> None:
        """Start a killed one on its data; back when it answers, as whatever the others say that it is."""
        self._spawn(server)
        self._until_answers(server)

    def freeze(self, server: int) -> None:
        """SIGSTOP: it neither answers nor closes."""
        self._signal(server, signal.SIGSTOP)
        self._frozen.add(server)

    def thaw(self, server: int) -> None:
        """SIGCONT: it believes to be what it was, until the others tell it."""
        self._signal(server, signal.SIGCONT)
        self._frozen.discard(server)

    def folder_of(self, server: int) -> Path:
        """Where its files are."""
        return self._folder / str(server)

    # Looking: as the one sees it that knows of the latest change

    def primaries(self) -> list[int]:
        """Servers that serve slots."""
        return sorted({server for server, _, _ in self._ranges()})

    def primary_of(self, place: int | str) -> int:
        """Who serves a slot, or the slot of a hash tag such as `p17`."""
        slot = slot_of(place)
        return next(server for server, first, last in self._ranges() if first <= slot <= last)

    def replicas_of(self, primary: int) -> list[int]:
        """Servers that follow it, whether they live or not."""
        return [server for server, node in enumerate(self._nodes()) if node[_PRIMARY] == self.ids[primary]]

    async def until_served(self) -> None:
        """Wait until those that live serve all slots."""

        def is_served() -> bool:
            alive = [server for server in range(SERVERS) if self._processes[server] is not None]
            with contextlib.suppress(redis.RedisError):
                return all(int(self._facts(server)["cluster_slots_ok"]) == SLOTS for server in alive) and all(
                    self._facts(server)["cluster_state"] == "ok" for server in alive
                )
            return False

        await asyncio.to_thread(_until, is_served)

    async def until_whole(self) -> None:
        """Wait until every server lives, all slots are served, and every replica has all that its primary has."""
        await asyncio.to_thread(_until, self._is_whole)

    async def failed_over(self, old: int) -> int:
        """Wait until another server serves what `old`, killed or frozen by now, served: that server."""
        follower = next(iter(self.replicas_of(old)))
        await asyncio.to_thread(_until, lambda: old not in self.primaries() and follower in self.primaries())
        return follower

    # Moving

    async def move_slots(self, place: int | str, to: int, *, pause_seconds: float = 0.0) -> None:
        """Move a slot (or that of a hash tag) to another primary while it is in use, a few keys at a time as
        `valkey-cli --cluster reshard` does; pause_seconds: between the keys' leaving and the word that they have.
        """
        await asyncio.to_thread(self._move, slot_of(place), to, pause_seconds)

    async def move_in_one_step(self, place: int | str, to: int) -> None:
        """The same as Valkey 9 does it by itself: the slot's data is replicated, then it changes hands."""
        slot = slot_of(place)
        origin = self.primary_of(slot)
        self._cluster(origin, "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", self.ids[to])
        await asyncio.to_thread(_until, lambda: self.primary_of(slot) == to)

    def _move(self, slot: int, to: int, pause_seconds: float) -> None:
        origin = self.primary_of(slot)
        if origin == to:
            return
        self._cluster(to, "SETSLOT", slot, "IMPORTING", self.ids[origin])
        self._cluster(origin, "SETSLOT", slot, "MIGRATING", self.ids[to])
        while keys := self._cluster(origin, "GETKEYSINSLOT", slot, KEYS_AT_ONCE):
            self.clients[origin].execute_command(  # type: ignore[no-untyped-call]
                "MIGRATE", HOST, self.ports[to], "", 0, 5_000, "KEYS", *keys
            )
        time.sleep(pause_seconds)
        for server in (to, origin, *self.primaries()):
            self._cluster(server, "SETSLOT", slot, "NODE", self.ids[to])

    # Inside

    def _is_whole(self) -> bool:
        try:
            for server, client in enumerate(self.clients):
                replication: Any = client.info("replication")
                is_linked = replication["role"] == "master" or replication["master_link_status"] == "up"
                facts = self._facts(server)
                if facts["cluster_state"] != "ok" or int(facts["cluster_slots_ok"]) != SLOTS or not is_linked:
                    return False
        except redis.RedisError:
            return False
        return len(self.primaries()) == SHARDS

    def _cluster(self, server: int, *words: object) -> Any:
        return self.clients[server].execute_command("CLUSTER", *words)  # type: ignore[no-untyped-call]

    def _facts(self, server: int) -> dict[str, str]:
        lines = self._cluster(server, "INFO").decode().splitlines()
        return dict(line.split(":", 1) for line in lines if line)

    def _nodes(self) -> list[list[str]]:
        """The line of each server in CLUSTER NODES."""
        seen: list[tuple[int, int]] = []
        for server in range(SERVERS):
            if self._processes[server] is not None and server not in self._frozen:
                with contextlib.suppress(redis.RedisError):
                    seen.append((int(self._facts(server)["cluster_current_epoch"]), server))
        rows = [line.split() for line in self._cluster(max(seen)[1], "NODES").decode().splitlines()]
        return [next(row for row in rows if row[0] == each) for each in self.ids]

    def _ranges(self) -> list[tuple[int, int, int]]:
        """(server, first slot, last slot)."""
        parts = [
            (server, *slots.partition("-"))
            for server, node in enumerate(self._nodes())
            for slots in node[_FIRST_SLOTS:]
            if not slots.startswith("[")  # one that is just moving
        ]
        return [(server, int(first), int(last or first)) for server, first, _, last in parts]

    def _known_from_the_start(self, myself: int) -> str:
        lines = []
        for server, (name, port) in enumerate(zip(self.ids, self.ports, strict=True)):
            shard = server % SHARDS
            address = f"{HOST}:{port}@{port + BUS_OFFSET},,tls-port=0,shard-id={self.ids[shard]}"
            flags = ("myself," if server == myself else "") + ("master" if server < SHARDS else "slave")
            primary = "-" if server < SHARDS else self.ids[shard]
            slots = f" {SLOTS * shard // SHARDS}-{SLOTS * (shard + 1) // SHARDS - 1}" if server < SHARDS else ""
            lines.append(f"{name} {address} {flags} {primary} 0 0 {shard + 1} connected{slots}")
        return "\n".join([*lines, f"vars currentEpoch {SHARDS} lastVoteEpoch 0", ""])

    def _spawn(self, server: int) -> None:
        folder = self._folder / str(server)
        options = {"port": self.ports[server], "bind": HOST, "dir": folder, "logfile": folder / "log", "save": ""}
        options |= {"cluster-enabled": "yes", "cluster-node-timeout": NODE_TIMEOUT_MS, "appendonly": "yes"}
        options |= {"cluster-require-full-coverage": "no", "cluster-replica-validity-factor": 0}
        options |= {"cluster-allow-replica-migration": "no", "repl-diskless-sync-delay": 0}
        words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        command = [find_server(), str(folder / "valkey.conf"), *words, *self._options]
        (folder / "valkey.conf").touch()
        self._processes[server] = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def _until_answers(self, server: int) -> None:
        process = self._processes[server]
        assert process is not None

        def answers() -> bool:
            assert process.poll() is None, (self._folder / str(server) / "log").read_text()
            with contextlib.suppress(redis.RedisError):
                return bool(self.clients[server].ping())
            return False

        _until(answers)

    def _signal(self, server: int, number: signal.Signals) -> None:
        process = self._processes[server]
        assert process is not None
        os.kill(process.pid, number)


def slot_of(place: int | str) -> int:
    """The slot itself, or that of a hash tag."""
    return place if isinstance(place, int) else key_slot(place.encode())


def _free_ports() -> list[int]:
    """Ports whose bus port, 10,000 above, is free, too."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < SERVERS:
            client, bus = held.enter_context(socket.socket()), held.enter_context(socket.socket())
            client.bind((HOST, 0))
            port: int = client.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                bus.bind((HOST, port + BUS_OFFSET))
                found.append(port)
    return found


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(LOOK_SECONDS)
