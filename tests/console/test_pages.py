"""The files of /console: what they are sent with, and what they come to."""

import gzip
import re
from collections.abc import Iterator

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from service.api.problems import EXCEPTION_HANDLERS
from service.console.pages import ConsoleController, read_file

FILES = ["index.html", "console.js", "console.css", "icon.svg"]
MAX_ZIPPED_BYTES = 180 * 1024


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient[Litestar]]:
    with TestClient(Litestar([ConsoleController], exception_handlers=EXCEPTION_HANDLERS, openapi_config=None)) as made:
        yield made


@pytest.mark.parametrize("path", ["/console", "/console/", *(f"/console/{name}" for name in FILES)])
def test_each_file_comes_with_a_policy_that_lets_in_nothing_from_elsewhere(
    client: TestClient[Litestar], path: str
) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers


def test_the_page_names_only_files_that_are_there_and_has_no_script_of_its_own() -> None:
    page = read_file("index.html").content.decode()
    named = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert {name.removeprefix("/console/") for name in named} == set(FILES) - {"index.html"}
    assert re.findall(r"<script[^>]*>([^<]*)</script>", page) == [""]
    assert "style=" not in page


def test_a_file_that_the_browser_has_is_not_sent_again(client: TestClient[Litestar]) -> None:
    first = client.get("/console/console.js")
    assert first.headers["cache-control"] == "no-cache"
    tag = first.headers["etag"]
    again = client.get("/console/console.js", headers={"If-None-Match": f'"other", W/{tag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag
    assert client.get("/console/console.js", headers={"If-None-Match": '"other"'}).status_code == 200


def test_who_takes_gzip_gets_it_under_a_tag_of_its_own(client: TestClient[Litestar]) -> None:
    zipped = client.get("/console/console.js", headers={"Accept-Encoding": "gzip"})
    plain = client.get("/console/console.js", headers={"Accept-Encoding": "identity"})
    assert zipped.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert zipped.content == plain.content
    assert zipped.headers["etag"] != plain.headers["etag"]
    assert zipped.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert gzip.decompress(read_file("console.js").zipped) == plain.content


def test_all_of_it_stays_below_its_size() -> None:
    assert sum(len(read_file(name).zipped) for name in FILES) <= MAX_ZIPPED_BYTES


@pytest.mark.parametrize("name", ["other.js", "..%2Fpages.py", "pages.py", "%2e%2e"])
def test_nothing_else_is_served(client: TestClient[Litestar], name: str) -> None:
    answer = client.get(f"/console/{name}")
    assert answer.status_code == 404
    assert b"ConsoleController" not in answer.content
