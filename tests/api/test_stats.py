"""GET /v1/stats, /v1/nodes/stats and /v1/redis: on one node; with several in tests/live."""

import time

from tests.api.conftest import make_tenant
from tests.api.rest import Rest, Server, Tenant, expects, problem_of, socket_of, within


def test_a_tenant_sees_what_it_did_in_the_last_seconds(server: Server, operator: Rest) -> None:
    tenant = make_tenant(server, "watched")
    with Rest(server, tenant.api_key) as rest, socket_of(server, tenant.token("u", rooms={"*": ["*"]})) as socket:
        expects(socket, "welcome")
        socket.send('{"type":"join","id":1,"room":"r"}')
        expects(socket, "joined")
        for _ in range(5):
            rest.publishes("r")
            expects(socket, "message")
        rest.refused("not_found", "GET", "/v1/rooms/never-seen")

        def total(client: Rest, path: str) -> list[int]:
            points = client.gets(path)["items"]
            return [sum(point[name] for point in points) for name in ("publishes", "deliveries")]

        within(6, lambda: total(rest, "/v1/stats?seconds=30"), [5, 5])
        assert total(operator, "/v1/tenants/watched/stats?seconds=30") == [5, 5]
        points = rest.gets("/v1/stats?seconds=30")["items"]
        assert max(point["connections"] for point in points) == 1
        assert sum(point["refused"].get("not_found", 0) for point in points) == 1
        delays = [(point["p50_ms"], point["p99_ms"]) for point in points if point["p50_ms"] is not None]
        assert delays
        assert all(0 < p50 <= p99 < 1000 for p50, p99 in delays)
        of_all = operator.gets("/v1/nodes/stats?seconds=30")["items"]
        assert sum(point["publishes"] for point in of_all) >= 5


def test_there_is_one_point_for_each_second_asked_for(rest: Rest) -> None:
    points = rest.gets("/v1/stats?seconds=900")["items"]
    instants = [point["at_ms"] for point in points]
    assert instants == list(range(instants[0], instants[0] + 900_000, 1000))
    assert 1_000 <= time.time() * 1000 - instants[-1] < 5_000
    rest.refused("invalid", "GET", "/v1/stats?seconds=901")


def test_the_operator_sees_how_nodes_and_redis_are(operator: Rest, server: Server, acme: Tenant) -> None:
    (node,) = operator.gets("/v1/nodes")["items"]
    assert node["memory_bytes"] > 10_000_000
    assert 0 <= node["loop_lag_ms"] < 10_000
    redis = operator.gets("/v1/redis")
    assert (redis["role"], redis["replicas"]) == ("master", 0)
    assert redis["memory_bytes"] > 100_000
    assert 0 < redis["latency_ms"] < 1_500
    with Rest(server, acme.api_key) as rest:
        for path in ("/v1/redis", "/v1/nodes/stats"):
            problem_of(rest.ask("GET", path), "forbidden")
