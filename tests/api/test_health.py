import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import make_tenant, running_server
from tests.api.rest import Rest, Server, problem_of
from tests.support.processes import children_of


@pytest.fixture
def own_server() -> Iterator[Server]:
    with running_server() as running:
        yield running


def test_a_node_that_serves_is_live_and_ready(server: Server) -> None:
    for path in ("/health/live", "/health/ready"):
        answer = httpx.get(server.address + path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        assert httpx.head(server.address + path).status_code == 200


@pytest.mark.provokes("error:unavailable")
def test_while_redis_is_away_requests_are_refused_in_time_and_the_node_is_not_ready(own_server: Server) -> None:
    tenant = make_tenant(own_server, "patient")
    (valkey,) = [pid for pid in children_of(own_server.pid) if "valkey" in Path(f"/proc/{pid}/cmdline").read_text()]
    with Rest(own_server, tenant.api_key) as rest:
        before = rest.publishes("r")["position"]
        os.kill(valkey, signal.SIGSTOP)
        try:
            for method, path, body in (
                ("POST", "/v1/rooms/r/messages", {"data": 1}),
                ("GET", "/v1/counts", None),
                ("GET", "/v1/rooms/r", None),
                ("GET", "/v1/rooms/r/messages", None),
                ("DELETE", "/v1/users/u/connections", None),
            ):
                asked_at = time.monotonic()
                rest.refused("unavailable", method, path, body)
                assert time.monotonic() - asked_at < 2
            results = rest.ask("POST", "/v1/messages", {"messages": [{"room": "r", "data": 1}] * 3}).json()["results"]
            assert {result["problem"]["type"] for result in results} == {"urn:roomcast:error:unavailable"}
            problem_of(httpx.get(own_server.address + "/health/ready"), "unavailable")
            assert httpx.get(own_server.address + "/health/live").status_code == 200
            assert rest.ask("POST", "/v1/tokens", {"user": "u"}).status_code == 201
        finally:
            os.kill(valkey, signal.SIGCONT)
        deadline = time.monotonic() + 10
        while httpx.get(own_server.address + "/health/ready").status_code != 200:
            assert time.monotonic() < deadline
        assert rest.publishes("r")["position"].partition(":")[0] == before.partition(":")[0]
