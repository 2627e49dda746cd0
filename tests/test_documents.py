"""The README's snippets run as they stand, and the tables in the docs are those of the code."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from service.tenants.limits import limits_table

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BIN = Path(sys.executable).parent


def snippet(name: str) -> str:
    """The fenced block behind its marker in the README."""
    found = re.search(rf"<!-- snippet:{name} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found is not None, f"the README has no snippet {name}"
    return found[1]


class Reader:
    """A node as the README starts it, and a reader who pastes what stands there."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.folder = folder
        self.environment = {**os.environ, "ROOMCAST_URL": f"ws://127.0.0.1:{self.port}", "PWD": str(folder)}
        self._serve = subprocess.Popen(
            [str(BIN / "roomcast"), "serve", "--demo", "--port", str(self.port)], cwd=folder, stdout=subprocess.PIPE
        )
        (folder / ".venv").mkdir()
        (folder / ".venv" / "bin").symlink_to(BIN)

    def wait(self) -> str:
        """What `serve --demo` prints."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"http://127.0.0.1:{self.port}/health/ready").is_success:
                    break
            except httpx.HTTPError:
                time.sleep(0.05)
        assert self._serve.stdout is not None
        os.set_blocking(self._serve.stdout.fileno(), True)
        return self._serve.stdout.readline().decode()

    def paste(self, text: str) -> "subprocess.Popen[str]":
        """Run a block in a shell of its own."""
        text = text.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")
        return subprocess.Popen(
            ["sh", "-e", "-c", text], cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip

    def stop(self) -> None:
        self._serve.send_signal(signal.SIGINT)
        assert self._serve.wait(20) == 0
        assert self._serve.stdout is not None
        self._serve.stdout.close()


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    found = Reader(tmp_path_factory.mktemp("reader"))
    assert "is ready on" in found.wait()
    yield found
    found.stop()


def test_two_terminals_talk_as_the_readme_shows(reader: Reader) -> None:
    listen = reader.paste(snippet("listen"))
    assert listen.stdout is not None
    events = map(json.loads, listen.stdout)
    assert next(event for event in events if event["type"] == "joined")["room"] == "chat:42"
    said = reader.paste(snippet("publish"))
    published, _ = said.communicate(timeout=20)
    assert said.returncode == 0
    assert json.loads(published.strip().splitlines()[-1])["type"] == "published"
    heard = next(event for event in events if event["type"] == "message")
    assert (heard["name"], heard["data"], heard["from"]["user"]) == ("said", {"text": "hello"}, "bob")
    os.killpg(listen.pid, signal.SIGINT)
    listen.wait(10)
    listen.stdout.close()


def test_the_browser_page_speaks_the_protocol(reader: Reader) -> None:
    page = snippet("page")
    assert len(page.splitlines()) <= 11
    offered = re.search(r"new WebSocket\(\"(.*?)\", \[(.*?)\]\)", page)
    assert offered is not None
    token = subprocess.run(
        [str(BIN / "roomcast"), "token", "--tenant", "demo", "--user", "eve", "--rooms", '{"*": ["*"]}'],
        cwd=reader.folder, check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    url = offered[1].replace(":8000", f":{reader.port}")
    protocols = json.loads(f"[{offered[2].replace('TOKEN', token)}]")
    commands = [
        json.loads(re.sub(r"(\w+):", r'"\1":', command).replace("say.value", '"hi"').replace('"chat":42', "chat:42"))
        for command in re.findall(r"send\((\{.*?\})\);", page)
    ]
    with connect(url, subprotocols=protocols) as socket_:
        assert socket_.subprotocol == "roomcast.v1.json"
        for command in commands:
            socket_.send(json.dumps(command))
        types = [json.loads(socket_.recv(5))["type"] for _ in range(4)]
    assert types == ["welcome", "joined", "message", "published"]


def test_the_calls_of_a_tenants_server_work_as_they_stand(reader: Reader) -> None:
    calls = reader.paste(snippet("rest").replace("curl -sS", "curl -sS --fail-with-body -w '\\n%{http_code}\\n'"))
    output, _ = calls.communicate(timeout=60)
    assert calls.returncode == 0, output
    codes = [line for line in output.splitlines() if re.fullmatch(r"\d{3}", line)]
    assert codes == ["201", "200", "202", "200", "200", "200", "200", "200", "201", "202"]


def test_the_table_of_limits_is_made_from_the_code() -> None:
    text = (ROOT / "docs" / "limits.md").read_text()
    assert text.split("<!-- limits:begin -->\n")[1].split("\n<!-- limits:end -->")[0].strip() == limits_table().strip()


def test_the_tour_names_only_files_that_exist() -> None:
    tour = README.split("## The tour")[1].split("## ")[0]
    for folder, text in re.findall(r"`service/(\w+)/`(.*)", tour):
        for name in re.findall(r"`((?:scripts/)?\w+\.(?:py|lua))`", text):
            assert (ROOT / "service" / folder / name).exists(), f"service/{folder}/{name}"
