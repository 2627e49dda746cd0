"""The command line as a user runs it: its own process, its output, its exit code."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import rich_click as click

from service.__main__ import roomcast as group
from service.settings import PREFIX
from tests.support.command_line import ENVIRONMENT, ROOMCAST, printed, refused, roomcast
from tests.support.processes import all_end, children_of


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A data directory with the tenant acme in it."""
    path = tmp_path_factory.mktemp("command") / "data"
    printed(
        "tenant",
        "create",
        "acme",
        "--data-dir",
        str(path),
        "--limit",
        "max_rooms=5",
        "--origin",
        "https://acme.example",
    )
    return str(path)


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield " ".join([*path, name]), command
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


def test_every_command_says_what_it_does_and_every_flag_has_a_variable_that_help_names() -> None:
    found = dict(commands(group))
    assert set(found) >= {
        "serve",
        *(f"tenant {verb}" for verb in ("create", "list", "show", "set", "suspend", "resume", "delete")),
        *(f"key {verb}" for verb in ("create", "list", "revoke", "signing-key create")),
        *(f"signing-key {verb}" for verb in ("create", "list", "revoke")),
        "audit",
        *(f"room-type {verb}" for verb in ("put", "list", "show", "delete")),
        "token",
        "listen",
        "publish",
        "db upgrade",
    }
    for name, command in found.items():
        assert command.help, name
        for flag in command.params:
            if isinstance(flag, click.Option):
                assert str(flag.envvar).startswith(PREFIX), (name, flag.name)
                assert flag.show_envvar, (name, flag.name)
                assert flag.help, (name, flag.name)


@pytest.mark.parametrize("command", ["", "serve", "tenant create", "listen"])
def test_help_is_there_for_the_whole_and_for_each_command(command: str) -> None:
    assert f"Usage: roomcast {command}".strip() in printed(*command.split(), "--help")


def test_the_version_is_the_packages() -> None:
    assert re.fullmatch(r"roomcast, version \d+\.\d+\.\d+\n", printed("--version"))


def test_a_tenant_is_made_listed_and_deleted(tmp_path: Path) -> None:
    where = ("--data-dir", str(tmp_path / "data"))
    keys = json.loads(printed("tenant", "create", "globex", "--json", *where))
    assert keys.keys() == {"tenant", "signing_key", "api_key"}
    assert keys["signing_key"].keys() == {"kid", "algorithm", "secret"}
    assert keys["tenant"] == "globex"
    assert keys["api_key"].startswith("rck_globex_")
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    (listed,) = json.loads(printed("tenant", "list", "--json", *where))
    assert listed["tenant"] == "globex"
    assert printed("tenant", "delete", "globex", "--yes", *where) == "Tenant globex is deleted.\n"
    assert printed("tenant", "list", *where) == ""


def test_without_json_the_keys_are_shown_for_people(tmp_path: Path) -> None:
    text = printed("tenant", "create", "initech", ROOMCAST_DATA_DIR=str(tmp_path))
    assert re.search(r"signing key +\S+ \(HS256\) +\S{43}\n", text)
    assert re.search(r"API key +rck_initech_\S+\n", text)


def test_limits_and_origins_are_kept(data_dir: str) -> None:
    (tenant,) = json.loads(printed("tenant", "list", "--json", "--data-dir", data_dir))
    assert tenant["limits"]["max_rooms"] == 5
    assert tenant["origins"] == ["https://acme.example"]


def test_token_prints_just_a_token(data_dir: str) -> None:
    for flags in ((), ("--rooms", '{"chat:*": ["join"]}', "--join", "news", "--send", "--ttl-seconds", "60")):
        text = printed("token", "--tenant", "acme", "--user", "alice", *flags, "--data-dir", data_dir)
        assert re.fullmatch(r"eyJ[\w-]+\.[\w-]+\.[\w-]+\n", text)


def test_upgrading_twice_is_fine(tmp_path: Path) -> None:
    for _ in range(2):
        assert printed("db", "upgrade", "--data-dir", str(tmp_path)) == "The database has the newest schema.\n"


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ("tenant create acme", "There is a tenant acme already."),
        ("tenant create Acme", "a-z, 0-9 and -"),
        ("tenant create b --limit max_romms=1", "There is no limit 'max_romms'; the limits are max_message_bytes"),
        ("tenant create b --limit max_rooms=many", "takes a whole number or none"),
        ("tenant create b --origin acme.example", "rigin"),
        ("tenant delete nobody --yes", "nobody"),
        ("token --tenant nobody --user u", "`roomcast tenant list` names those that there are."),
        ("token --tenant acme --user u --ttl-seconds 90000", "86400"),
        ("token --tenant acme --user a/b", "user"),
    ],
)
def test_a_refusal_is_one_sentence_and_exit_code_1(data_dir: str, arguments: str, remedy: str) -> None:
    assert remedy in refused(*arguments.split(), "--data-dir", data_dir)


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["token", "--tenant", "acme"], "Missing option '--user' (env var: 'ROOMCAST_USER')."),
        (["token", "--tenant", "acme", "--user", "u", "--rooms", "[1]"], "give a JSON object of lists"),
        (["listen", "chat"], "Missing option '--token'"),
        (["publish", "chat", "hello", "--token", "x"], """quotes within quotes, as '"hello"'."""),
        (["serve", "--port", "http"], "give a whole number from 0 to 65535."),
        (["sevre"], "No such command 'sevre'."),
        (["tenant", "list", "--database-url", "mysql://x"], "give a URL as postgresql://"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_code_2(arguments: list[str], remedy: str) -> None:
    sentence = refused(*arguments, code=2)
    assert remedy in sentence
    assert sentence.endswith("--help`.")


def test_a_missing_database_is_told_and_not_made(tmp_path: Path) -> None:
    sentence = refused("token", "--tenant", "acme", "--user", "u", "--data-dir", str(tmp_path / "typo"))
    assert "run `roomcast db upgrade` or `roomcast serve` first" in sentence
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize("command", [["listen", "chat"], ["publish", "chat", "1"]])
def test_no_server_is_told_with_the_remedy(command: list[str]) -> None:
    sentence = refused(*command, "--token", "canary", "--url", "http://127.0.0.1:1")
    assert "No server answers on ws://127.0.0.1:1/v1/connect" in sentence
    assert "is `roomcast serve` running there?" in sentence
    assert "canary" not in sentence
    assert "give one as ws://127.0.0.1:8000" in refused(*command, "--token", "canary", "--url", "chat.example")


class Demo(NamedTuple):
    """A `roomcast serve --demo` that is ready."""

    process: subprocess.Popen[str]
    url: str
    token: str
    data_dir: Path


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    arguments = [*ROOMCAST, "serve", "--demo", "--port", "0", "--data-dir", str(tmp_path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        text = ""
        while "listen chat" not in text:
            line = process.stdout.readline()
            assert line
            text += line
        url, token = re.findall(r"--url (\S+) --token (\S+)", text)[0]
        yield Demo(process, url, token, tmp_path)
        process.terminate()
        assert process.wait(20) == 0


def listening(demo: Demo, *rooms: str) -> subprocess.Popen[str]:
    arguments = [*ROOMCAST, "listen", *rooms, "--url", demo.url]
    return subprocess.Popen(
        arguments, stdout=subprocess.PIPE, text=True, env={**ENVIRONMENT, "ROOMCAST_TOKEN": demo.token}
    )


def next_event(listener: subprocess.Popen[str], kind: str) -> dict[str, Any]:
    assert listener.stdout is not None
    while True:
        event: dict[str, Any] = json.loads(listener.stdout.readline())
        if event["type"] == kind:
            return event


def test_what_one_publishes_another_hears_also_after_a_node_was_killed(demo: Demo) -> None:
    with listening(demo, "chat") as listener:
        assert next_event(listener, "joined")["room"] == "chat"
        say = ("publish", "chat", '{"text":\n"hello"}', "--name", "greeting", "--url", demo.url, "--token", demo.token)
        reply = json.loads(printed(*say))
        assert reply["type"] == "published"
        heard = next_event(listener, "message")
        assert (heard["name"], heard["data"]) == ("greeting", {"text": "hello"})
        assert reply["position"].endswith(f":{heard['offset']}")

        nodes = {child for child in children_of(demo.process.pid) if "service.server" in command_of(child)}
        for node in nodes:
            os.kill(node, signal.SIGKILL)
        assert len(nodes) == 1
        assert all_end(nodes)
        assert next_event(listener, "joined")["recovered"] is True
        printed(*say)
        assert next_event(listener, "message")["offset"] == heard["offset"] + 1
        listener.send_signal(signal.SIGINT)
        assert listener.wait(10) == 0


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def test_a_tenant_made_while_nodes_run_is_known_at_once(demo: Demo) -> None:
    where = ("--data-dir", str(demo.data_dir))
    printed("tenant", "create", "late", *where)
    token = printed("token", "--tenant", "late", "--user", "u", "--rooms", '{"*": ["*"]}', *where).strip()
    started = time.monotonic()
    assert '"published"' in printed("publish", "chat", "1", "--url", demo.url, "--token", token)
    assert time.monotonic() - started < 10


def test_a_token_that_is_no_good_and_a_room_that_is_not_allowed_end_a_listener(demo: Demo) -> None:
    where = ("--data-dir", str(demo.data_dir))
    assert "Get a new token, as with `roomcast token`." in refused("listen", "chat", "--url", demo.url, "--token", "x")
    token = printed("token", "--tenant", "demo", "--user", "bob", *where).strip()
    done = roomcast("listen", "chat", "--url", demo.url, "--token", token)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: Can't join chat: ")
    assert refused("publish", "chat", "1", "--url", demo.url, "--token", token).startswith("Error: Not published: ")


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "redis+sentinel://:x@127.0.0.1:1/main"])
def test_a_redis_out_of_reach_is_told_in_one_sentence_with_the_remedy(tmp_path: Path, url: str) -> None:
    done = roomcast("serve", "--port", "0", "--data-dir", str(tmp_path), "--redis-url", url)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    sentence = done.stderr.splitlines()[-1]
    assert sentence.startswith("Error: Redis is out of reach")
    assert sentence.endswith("start it, or name another with --redis-url.")


def test_each_node_serves_its_metrics_on_a_port_of_its_own(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    arguments = [*ROOMCAST, "serve", "--port", "0", "--data-dir", str(tmp_path), "--metrics-port", str(port)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        address = re.findall(r"http://[\d.:]+", process.stdout.readline())[0]
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        assert "roomcast_connections 0.0" in text
        assert "roomcast_loop_lag_seconds_count" in text
        assert httpx.get(f"{address}/metrics").status_code == 404
        process.terminate()
        assert process.wait(20) == 0


def test_a_client_that_sends_no_headers_is_answered_after_the_handshake_timeout(tmp_path: Path) -> None:
    arguments = [*ROOMCAST, "serve", "--port", "0", "--data-dir", str(tmp_path), "--handshake-timeout-seconds", "0.2"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        port = int(re.findall(r"http://[\d.]+:(\d+)", process.stdout.readline())[0])
        started = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), timeout=10) as silent:
            answer = b"".join(iter(lambda: silent.recv(4096), b""))
        assert time.monotonic() - started < 4
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
        process.terminate()
        assert process.wait(20) == 0
