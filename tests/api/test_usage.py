import csv
import io
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from service.protocol.errors import ERROR_KINDS
from service.tenants.audit import OPERATOR
from service.tenants.limits import Limits
from service.tenants.minute_usage import PEAKS, SUMS, MinuteUsage, pack_samples
from service.tenants.storage import Storage
from tests.api.conftest import UNHURRIED, make_tenant, with_storage
from tests.api.rest import Rest, Server, Tenant, expects, socket_of

DAY_MS = 86_400_000
NOON_MS = 1_764_936_000_000  # 2025-12-05T12:00:00Z

_numbers = itertools.count()


@pytest.fixture
def tenant(server: Server) -> Tenant:
    """A tenant of the test's own, that has used nothing."""
    return make_tenant(server, f"usage-{next(_numbers)}", UNHURRIED)


@pytest.fixture
def metered(server: Server, tenant: Tenant) -> Iterator[Rest]:
    with Rest(server, tenant.api_key) as client:
        yield client


def total(rest: Rest) -> Any:
    """What was used in all; days, so that no minute ends in between. The request that asks counts afterwards."""
    points = rest.gets("/v1/usage?unit=day")["items"]
    assert len(points) <= 2
    sums = {name: sum(point[name] for point in points) for name in ("api_requests", "bytes_in", "bytes_out")}
    sums["deliveries"] = sum(point["deliveries"] for point in points)
    for edge in ("websocket", "http"):
        sums[edge] = sum(point["messages_in"][edge] for point in points)
    refused: dict[str, int] = {}
    for point in points:
        for code, count in point["refused"].items():
            refused[code] = refused.get(code, 0) + count
    return {**sums, "refused": refused}


def minute(tenant: Tenant, at_ms: int, **values: Any) -> MinuteUsage:
    counts = dict.fromkeys((*SUMS, *PEAKS), 0) | values
    return MinuteUsage(
        tenant_id=tenant.id,
        starts_at_ms=at_ms,
        node="n1",
        samples=pack_samples((3,) * 60),
        refused={"invalid": 1},
        **counts,
    )


def keep(server: Server, *rows: MinuteUsage) -> None:
    async def work(storage: Storage) -> None:
        await storage.usage.write(rows)

    with_storage(server, work)


def test_requests_their_bytes_and_their_refusals_are_counted(metered: Rest, server: Server, tenant: Tenant) -> None:
    answers = [metered.ask("POST", "/v1/rooms/chat/messages", {"data": "hello"}) for _ in range(3)]
    answers.append(metered.ask("POST", "/v1/rooms/chat/messages", {"data": 1, "nothing": 2}))
    answers.append(metered.ask("GET", "/v1/rooms/never-seen"))
    answers.append(metered.ask("GET", "/v1/counts"))
    answers.append(metered.ask("HEAD", "/v1/counts"))
    answers.append(metered.ask("POST", "/v1/messages", {"messages": [{"room": "chat", "data": 1}] * 2}))
    assert [answer.status_code for answer in answers] == [201, 201, 201, 400, 404, 200, 200, 200]
    sent = sum(len(answer.request.content) for answer in answers)
    received = sum(len(answer.content) for answer in answers)
    assert total(metered) == {
        "api_requests": 8,
        "bytes_in": sent,
        "bytes_out": received,
        "deliveries": 0,
        "websocket": 0,
        "http": 5,
        "refused": {"invalid": 1, "not_found": 1},
    }
    with Rest(server, None) as stranger:
        stranger.refused("unauthenticated", "GET", "/v1/counts")
    with Rest(server, tenant.scoped_keys["publish"]) as publisher:
        publisher.refused("forbidden", "GET", "/v1/counts")
    after = total(metered)
    assert after["api_requests"] == 8 + 1 + 1  # the one that asked before, too
    assert after["refused"] == {"invalid": 1, "not_found": 1, "forbidden": 1}


def test_a_users_commands_over_http_count_as_requests_and_messages(
    metered: Rest, server: Server, tenant: Tenant
) -> None:
    token = tenant.token("alice", rooms={"*": ["*"]}, send=True)
    with Rest(server, token) as alice:
        for command in (
            {"type": "publish", "room": "chat", "data": 1, "key": "k"},
            {"type": "publish", "room": "chat", "data": 1, "key": "k"},
            {"type": "send", "user": "bob", "data": 1},
        ):
            assert alice.ask("POST", "/v1/commands", command).status_code == 200
        alice.refused("invalid", "POST", "/v1/commands", {"type": "join", "room": "chat"})
    found = total(metered)
    assert (found["api_requests"], found["http"], found["refused"]) == (4, 2, {"invalid": 1})


def test_a_socket_counts_what_it_says_and_hears(metered: Rest, server: Server, tenant: Tenant) -> None:
    token = tenant.token("alice", rooms={"*": ["join", "publish", "signal"]}, send=True)
    before = total(metered)
    said = 0

    def say(command: dict[str, Any]) -> None:
        nonlocal said
        text = json.dumps(command)
        said += len(text)
        socket.send(text)

    with socket_of(server, token) as socket:
        expects(socket, "welcome")
        say({"type": "join", "room": "chat", "id": 1})
        expects(socket, "joined")
        for command, kinds in (
            ({"type": "publish", "room": "chat", "data": 1, "id": 2}, ["published"]),
            ({"type": "publish", "room": "chat", "data": 1, "id": 3, "echo": True}, ["message", "published"]),
            ({"type": "signal", "room": "chat", "data": 1, "id": 4, "echo": True}, ["signal", "signalled"]),
            ({"type": "send", "user": "alice", "data": 1, "id": 5}, ["direct", "sent"]),
            ({"type": "publish", "room": "chat", "id": 6}, ["error"]),
            ({"type": "history", "room": "chat", "id": 7}, ["error"]),
        ):
            say(command)
            assert sorted(expects_any(socket) for _ in kinds) == kinds
    found = total(metered)
    assert found["websocket"] == 4
    assert found["deliveries"] == 3
    assert found["refused"] == {"invalid": 1, "forbidden": 1}
    assert found["bytes_in"] - before["bytes_in"] == said


def expects_any(socket: Any) -> str:
    """The next event's type."""
    return str(json.loads(socket.recv(timeout=5))["type"])


def test_usage_is_read_by_minute_hour_and_day(metered: Rest, server: Server, tenant: Tenant) -> None:
    rows = [minute(tenant, NOON_MS + offset * 60_000, deliveries=5, connection_seconds=180) for offset in (0, 1, 90)]
    keep(server, *rows)
    span = "from=2025-12-05T00:00:00Z&to=2025-12-06T00:00:00Z"
    by = {unit: metered.gets(f"/v1/usage?{span}&unit={unit}")["items"] for unit in ("minute", "hour", "day")}
    assert [point["deliveries"] for point in by["minute"]] == [5, 5, 5]
    assert [point["deliveries"] for point in by["hour"]] == [10, 5]
    assert [point["starts_at_ms"] for point in by["hour"]] == [NOON_MS, NOON_MS + 3_600_000]
    assert by["day"] == [
        {
            "starts_at_ms": NOON_MS - DAY_MS // 2,
            "peak_connections": 3,
            "connection_minutes": 9.0,
            "messages_in": {"websocket": 0, "http": 0},
            "deliveries": 15,
            "bytes_in": 0,
            "bytes_out": 0,
            "api_requests": 0,
            "refused": {"invalid": 3},
            "refused_by_schema": [],
            "peak_rooms": 0,
            "history_bytes": 0,
        }
    ]
    later = "from=2025-12-05T13%3A59%3A59%2B00:30&to=2025-12-05T13:30:30Z&unit=minute"
    assert [point["starts_at_ms"] for point in metered.gets(f"/v1/usage?{later}")["items"]] == [NOON_MS + 90 * 60_000]


def test_usage_pages_by_cursor_also_as_csv(metered: Rest, server: Server, tenant: Tenant) -> None:
    keep(server, *[minute(tenant, NOON_MS + offset * 60_000, bytes_in=offset) for offset in range(5)])
    path = "/v1/usage?from=2025-12-05T00:00:00Z&to=2025-12-06T00:00:00Z&unit=minute&limit=2"
    found: list[int] = []
    cursor = ""
    while cursor is not None:
        page = metered.gets(path + (f"&cursor={cursor}" if cursor else ""))
        found += [point["bytes_in"] for point in page["items"]]
        cursor = page["next_cursor"]
    assert found == [0, 1, 2, 3, 4]

    lines: list[dict[str, str]] = []
    pages = 0
    link: str | None = path
    while link is not None:
        answer = metered.ask("GET", link, accept="text/csv")
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.headers["vary"] == "Accept"
        lines += csv.DictReader(io.StringIO(answer.text, newline=""))
        link = answer.headers["link"].partition(">")[0].removeprefix("<") if "link" in answer.headers else None
        pages += 1
    assert pages == 3
    assert [line["bytes_in"] for line in lines] == ["0", "1", "2", "3", "4"]
    assert lines[1]["starts_at"] == "2025-12-05T12:01:00Z"
    assert {name.removeprefix("refused_") for name in lines[0] if name.startswith("refused_")} == set(ERROR_KINDS)
    assert lines[0]["refused_invalid"] == "1"


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("unit=week", "$.unit"),
        ("from=yesterday", "$.from"),
        ("from=2025-12-05T00:00:00", "$.from"),
        ("from=1764936000", "$.from"),
        ("to=2025-13-05T00:00:00Z", "$.to"),
        ("from=2025-12-06T00:00:00Z&to=2025-12-05T00:00:00Z", "$.from"),
        ("limit=0", "$.limit"),
        ("limit=1001", "$.limit"),
        ("cursor=abc", "$.cursor"),
    ],
)
def test_a_query_that_does_not_fit_is_refused_with_its_path(rest: Rest, query: str, path: str) -> None:
    assert rest.refused("invalid", "GET", f"/v1/usage?{query}").path == path


def test_a_cursor_of_another_tenant_unit_or_time_is_refused(
    server: Server, metered: Rest, rest: Rest, tenant: Tenant
) -> None:
    keep(server, *[minute(tenant, NOON_MS + offset * 60_000, bytes_in=1) for offset in range(2)])
    span = "from=2025-12-05T00:00:00Z&to=2025-12-06T00:00:00Z"
    cursor = metered.gets(f"/v1/usage?{span}&unit=minute&limit=1")["next_cursor"]
    assert metered.gets(f"/v1/usage?{span}&unit=minute&limit=7&cursor={cursor}")["items"]
    rest.refused("invalid", "GET", f"/v1/usage?{span}&unit=minute&cursor={cursor}")
    metered.refused("invalid", "GET", f"/v1/usage?{span}&unit=hour&cursor={cursor}")
    metered.refused("invalid", "GET", f"/v1/usage?unit=minute&cursor={cursor}")


def test_usage_needs_the_scope_read(server: Server, tenant: Tenant) -> None:
    with Rest(server, tenant.scoped_keys["publish"]) as publisher:
        publisher.refused("forbidden", "GET", "/v1/usage")
    with Rest(server, tenant.scoped_keys["read"]) as reader:
        assert reader.gets("/v1/usage")["items"]


def test_what_the_operator_asks_for_a_tenant_is_not_the_tenants_use(
    metered: Rest, operator: Rest, tenant: Tenant
) -> None:
    below = f"/v1/tenants/{tenant.name}"
    operator.gets(f"{below}/counts")
    operator.refused("not_found", "GET", f"{below}/rooms/never-seen")
    assert operator.gets(f"{below}/usage?unit=day")["items"] == []
    assert total(metered)["api_requests"] == 0
    assert operator.ask("POST", f"{below}/suspend", {}).status_code == 200
    seen = operator.gets(f"{below}/usage?unit=day")["items"]
    assert [point["api_requests"] for point in seen] == [1]  # the tenant's own look


def test_a_refused_connect_is_counted_by_its_code(server: Server, tenant: Tenant, metered: Rest) -> None:
    async def close(storage: Storage) -> None:
        await storage.tenants.change(OPERATOR, tenant.id, limits=Limits(max_connections=0))

    with_storage(server, close)
    for _ in range(2):
        with pytest.raises(InvalidStatus):
            socket_of(server, tenant.token("alice"))
    assert total(metered)["refused"] == {"too_many": 2}
