"""The pages of the documents: rendered by a real browser, with no request to any other host."""

import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.api.conftest import server as server
from tests.api.rest import Server

CHROMIUM = shutil.which("chromium")
# What the browser asks for by itself is not the page's.
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--virtual-time-budget=10000",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


@pytest.mark.parametrize(("page", "text"), [("openapi", "publishMessage"), ("asyncapi", "set_state")])
def test_a_page_renders_and_asks_no_other_host(server: Server, tmp_path: Path, page: str, text: str) -> None:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    log = tmp_path / "net.json"
    done = subprocess.run(
        [CHROMIUM, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", f"--log-net-log={log}", "--dump-dom",
         f"{server.address}/schema/{page}#/messages/{text}"],
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert text in done.stdout
    assert "Failed to load" not in done.stdout
    asked = set(re.findall(r'"url":"(http[^"]*/schema/[^"]*)"', log.read_text()))
    assert {f"{server.address}/schema/{page}"} < {url.partition("#")[0] for url in asked}
    own = urlsplit(server.address).netloc
    others = set(re.findall(r'"initiator":"http[^"]*".{0,400}?"url":"(http[^"]*)"', log.read_text()))
    assert all(urlsplit(url).netloc == own for url in others), others


@pytest.mark.parametrize("path", ["openapi", "asyncapi", "static/openapi.js", "static/swagger-ui.css"])
def test_what_a_page_loads_may_only_come_from_here(server: Server, path: str) -> None:
    answer = httpx.get(f"{server.address}/schema/{path}")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", answer.text if path.count("/") == 0 else "")


def test_only_the_named_files_are_served(server: Server) -> None:
    for path in ("static/README.md", "static/..%2Fopenapi.py", "static/", "elements"):
        assert httpx.get(f"{server.address}/schema/{path}").status_code == 404
