import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from service.brokers.embedded import EmbeddedValkey, EmbeddedValkeyError, running_url
from service.brokers.server_binary import NoServerError, find_server, server_version

pytestmark = pytest.mark.anyio


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    valkey = EmbeddedValkey(tmp_path / "data with a space")
    await valkey.start()
    yield valkey
    await valkey.stop()


async def configuration(url: str, name: str) -> str:
    async with Redis.from_url(url, decode_responses=True) as redis:
        return str((await redis.config_get(name))[name])


async def is_gone(pid: int, within_seconds: float = 10) -> bool:
    """Whether no process has this id within the time; a zombie of another parent counts as gone."""
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        await asyncio.sleep(0.01)
    return False


async def test_it_listens_on_a_private_unix_socket_alone_and_never_evicts(valkey: EmbeddedValkey) -> None:
    socket = Path(valkey.url.removeprefix("unix://"))
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    assert len(os.fsencode(socket)) <= 107
    assert await configuration(valkey.url, "port") == "0"
    assert await configuration(valkey.url, "maxmemory-policy") == "noeviction"
    assert await configuration(valkey.url, "appendfsync") == "no"  # `keep_synced` does that


async def test_a_very_long_temporary_folder_does_not_make_the_sockets_path_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    valkey = EmbeddedValkey(tmp_path / "data")
    await valkey.start()
    try:
        assert len(os.fsencode(valkey.url.removeprefix("unix://"))) <= 107
    finally:
        await valkey.stop()


async def test_what_it_wrote_is_on_the_disk_within_two_seconds(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def sync_and_note(descriptor: int) -> None:
        real_sync(descriptor)
        loop.call_soon_threadsafe(synced.put_nowait, str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    real_sync = os.fsync
    monkeypatch.setattr(os, "fsync", sync_and_note)
    syncing = asyncio.create_task(valkey.keep_synced())
    async with Redis.from_url(valkey.url) as redis:
        await redis.set("written", 1)
    async with asyncio.timeout(2):
        path = Path(await synced.get())
    syncing.cancel()
    assert b"written" in path.read_bytes()


SLOW_DISK = """
#include <unistd.h>
int fsync(int file) { usleep(1500000); return 0; }
int fdatasync(int file) { usleep(1500000); return 0; }
"""


@pytest.fixture
def slow_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is started has a disk that takes 1.5 s for a sync."""
    if sys.platform != "linux" or shutil.which("cc") is None:
        pytest.skip("the slow disk is made by a C compiler, for Linux")
    (tmp_path / "slow.c").write_text(SLOW_DISK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "slow.so", "slow.c"], cwd=tmp_path, check=True)
    monkeypatch.setenv("LD_PRELOAD", str(tmp_path / "slow.so"))


@pytest.mark.usefixtures("slow_disk")
async def test_a_kill_loses_nothing_that_was_acknowledged_even_if_the_disk_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    valkey = EmbeddedValkey(tmp_path / "data")
    await valkey.start()
    monkeypatch.delenv("LD_PRELOAD")
    acknowledged, until = 0, time.monotonic() + 4  # with everysec, Valkey's syncs and held-back writes take turns
    async with Redis.from_url(valkey.url) as redis:
        while time.monotonic() < until:
            acknowledged = await redis.incr("count")
    assert valkey.pid is not None
    os.kill(valkey.pid, signal.SIGKILL)
    restarting = asyncio.create_task(valkey.supervise())
    async with asyncio.timeout(20):
        while True:
            with suppress(RedisError, OSError):
                async with Redis.from_url(valkey.url) as redis:
                    kept = int(await redis.get("count") or 0)
                    break
            await asyncio.sleep(0.01)
    restarting.cancel()
    await valkey.stop()
    assert kept == acknowledged


async def test_another_process_finds_a_running_one_by_the_data_directory(tmp_path: Path) -> None:
    valkey = EmbeddedValkey(tmp_path)
    assert running_url(tmp_path) is None
    url = await valkey.start()
    assert running_url(tmp_path) == url
    assert stat.S_IMODE((tmp_path / "valkey.path").stat().st_mode) == 0o600
    await valkey.stop()
    assert running_url(tmp_path) is None
    assert not Path(url.removeprefix("unix://")).parent.exists()


async def test_a_stop_and_a_start_keep_the_data(tmp_path: Path) -> None:
    for value in (None, "1", "2"):
        valkey = EmbeddedValkey(tmp_path)
        async with Redis.from_url(await valkey.start(), decode_responses=True) as redis:
            assert await redis.get("n") == value
            await redis.incr("n")
        await valkey.stop()


async def test_a_second_one_on_the_same_data_directory_is_refused_with_the_remedy(
    valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    second = EmbeddedValkey(tmp_path / "data with a space")
    with pytest.raises(EmbeddedValkeyError, match=r"^Another `roomcast serve` uses .*--data-dir.*--redis-url"):
        await second.start()
    assert await configuration(valkey.url, "port") == "0"
    assert running_url(tmp_path / "data with a space") == valkey.url


async def test_a_killed_server_comes_back_on_the_same_url_with_its_data(valkey: EmbeddedValkey) -> None:
    watching = asyncio.create_task(valkey.supervise())
    async with Redis.from_url(valkey.url) as redis:
        await redis.set("kept", "yes")
    pid = valkey.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    while True:
        try:
            async with Redis.from_url(valkey.url) as redis:
                assert await redis.get("kept") == b"yes"
            break
        except (RedisError, OSError):
            assert time.monotonic() - killed < 10
            await asyncio.sleep(0.01)
    assert valkey.pid not in (None, pid)
    watching.cancel()


async def test_when_its_supervisor_is_killed_it_ends_and_the_next_start_waits_for_it(tmp_path: Path) -> None:
    program = f"""
        import asyncio
        from pathlib import Path
        from service.brokers.embedded import EmbeddedValkey

        async def main():
            valkey = EmbeddedValkey(Path({str(tmp_path)!r}))
            await valkey.start()
            print(valkey.pid, valkey.url, flush=True)
            await asyncio.Event().wait()

        asyncio.run(main())
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    ) as supervisor:
        assert supervisor.stdout is not None
        pid, url = supervisor.stdout.readline().split()
        async with Redis.from_url(url) as redis:
            await redis.set("kept", "yes")
        supervisor.kill()
    valkey = EmbeddedValkey(tmp_path)
    async with Redis.from_url(await valkey.start()) as redis:
        assert await redis.get("kept") == b"yes"
    await valkey.stop()
    assert await is_gone(int(pid))
    assert not Path(url.removeprefix("unix://")).parent.exists()


async def test_a_server_that_cannot_start_is_told_with_its_own_last_words(tmp_path: Path) -> None:
    folder = tmp_path / "valkey" / "appendonlydir"
    folder.mkdir(parents=True)
    (folder / "appendonly.aof.manifest").write_text("this is no manifest\n")
    with pytest.raises(EmbeddedValkeyError, match=r"does not start \(.*manifest.*--redis-url"):
        await EmbeddedValkey(tmp_path).start()
    assert running_url(tmp_path) is None


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)


async def test_without_the_wheel_a_new_enough_server_on_the_path_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    script(tmp_path / "valkey-server", "echo 'Valkey server v=7.2.5 sha=00000000:0'")
    script(tmp_path / "redis-server", "echo 'Redis server v=7.0.15 sha=00000000:0'")
    assert find_server() == str(tmp_path / "redis-server")
    script(tmp_path / "redis-server", "echo 'Redis server v=6.2.14 sha=00000000:0'")
    with pytest.raises(NoServerError, match=r"valkey-server is Valkey 7.*redis-server is Redis 6.*--redis-url"):
        find_server()


async def test_the_wheels_server_is_new_enough() -> None:
    version = server_version(find_server())
    assert version is not None
    assert version >= ("Valkey", 8)
