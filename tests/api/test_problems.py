from collections.abc import Iterator

import pytest
from litestar import Litestar, get
from litestar.exceptions import InternalServerException
from litestar.testing import TestClient
from structlog.testing import capture_logs

from service import telemetry
from service.api.problems import EXCEPTION_HANDLERS
from service.protocol.errors import RateLimited

CANARY = "canary-9c1f"


@get("/bug")
async def _bug() -> None:
    raise KeyError(CANARY)


@get("/framework-bug")
async def _framework_bug() -> None:
    raise InternalServerException(CANARY)


@get("/hurried")
async def _hurried() -> None:
    raise RateLimited("publishes_per_second", "tenant", 1_001, room="chat")


@pytest.fixture
def client() -> Iterator[TestClient[Litestar]]:
    handlers = [_bug, _framework_bug, _hurried]
    app = Litestar(handlers, exception_handlers=EXCEPTION_HANDLERS, openapi_config=None, logging_config=None)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.mark.provokes("error:internal")
@pytest.mark.parametrize("path", ["/bug", "/framework-bug"])
def test_a_bug_shows_an_incident_that_the_log_has_too_and_nothing_else(client: TestClient[Litestar], path: str) -> None:
    faults = telemetry.counters.faults
    with capture_logs() as logs:
        answer = client.get(path)
    problem = answer.json()
    assert answer.status_code == 500
    assert problem["type"] == "urn:roomcast:error:internal"
    assert CANARY not in answer.text
    (line,) = [line for line in logs if line.get("incident") == problem["incident"]]
    assert (line["log_level"], line["code"], line["path"]) == ("error", "internal", path)
    assert line["exc_info"] is not None
    assert telemetry.counters.faults == faults + 1


def test_what_the_framework_refuses_is_told_in_our_words(client: TestClient[Litestar]) -> None:
    for headers, code in (({"Host": f"{CANARY}/"}, "invalid"), ({}, "not_found")):
        answer = client.get(f"/{CANARY}", headers=headers)
        assert answer.json()["type"] == f"urn:roomcast:error:{code}"
        assert CANARY not in answer.text


def test_a_refusal_has_the_errors_optional_fields_and_whole_seconds_in_its_header(client: TestClient[Litestar]) -> None:
    answer = client.get("/hurried")
    assert answer.headers["retry-after"] == "2"
    fields = {name: answer.json()[name] for name in ("limit", "scope", "retry_after_ms", "room")}
    assert fields == {"limit": "publishes_per_second", "scope": "tenant", "retry_after_ms": 1_001, "room": "chat"}
    assert "path" not in answer.json()
    assert "incident" not in answer.json()


def test_refusals_are_counted_by_code(client: TestClient[Litestar]) -> None:
    before = telemetry.refusals.get("not_found", 0)
    client.get("/nothing")
    assert telemetry.refusals["not_found"] == before + 1
