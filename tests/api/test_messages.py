from contextlib import ExitStack

import pytest

from service.tenants.limits import Limits
from tests.api.conftest import make_tenant
from tests.api.rest import Rest, Server, Tenant, expects, problem_of, socket_of


def test_a_published_message_is_kept_with_its_position(rest: Rest) -> None:
    first = rest.publishes("kept", {"n": 1}, name="note")
    second = rest.publishes("kept", {"n": 2})
    assert first["duplicate"] is False
    epoch, _, offset = first["position"].partition(":")
    assert second["position"] == f"{epoch}:{int(offset) + 1}"
    page = rest.gets("/v1/rooms/kept/messages")
    assert page["type"] == "history"
    assert page["position"] == second["position"]
    assert [item["data"] for item in page["messages"]] == [{"n": 1}, {"n": 2}]
    assert page["messages"][0]["name"] == "note"
    assert page["messages"][0]["from"] is None
    assert (page["more"], page["complete"]) == (False, True)


def test_kept_messages_are_paged_from_either_side(rest: Rest) -> None:
    positions = [rest.publishes("paged", n)["position"] for n in range(5)]

    def page(query: str) -> tuple[list[int], bool]:
        found = rest.gets(f"/v1/rooms/paged/messages?{query}")
        return [item["data"] for item in found["messages"]], found["more"]

    assert page("limit=2") == ([3, 4], True)
    assert page(f"limit=2&before={positions[3]}") == ([1, 2], True)
    assert page(f"limit=2&since={positions[0]}") == ([1, 2], True)
    assert page(f"since={positions[1]}&before={positions[4]}") == ([2, 3], False)


def test_a_repeated_key_is_one_message(rest: Rest) -> None:
    first = rest.publishes("keyed", 1, key="order-7")
    again = rest.publishes("keyed", 1, key="order-7")
    assert again == {"position": first["position"], "duplicate": True}
    assert len(rest.gets("/v1/rooms/keyed/messages")["messages"]) == 1


def test_a_room_without_history_gives_no_position(server: Server) -> None:
    tenant = make_tenant(server, "forgetful", Limits(max_history_messages=0))
    with Rest(server, tenant.api_key) as client:
        assert client.publishes("r") == {"position": None, "duplicate": False}


def test_what_is_published_reaches_sockets_and_spares_the_excluded(server: Server, rest: Rest, acme: Tenant) -> None:
    rights = {"rooms": {"reach": ["*"]}, "join": ["reach"]}
    with socket_of(server, acme.token("ann", **rights)) as ann, socket_of(server, acme.token("bob", **rights)) as bob:
        expects(ann, "welcome")
        expects(ann, "joined")
        excluded = expects(bob, "welcome")["connection"]
        expects(bob, "joined")
        rest.publishes("reach", {"text": "hi"}, exclude=[excluded], name="note")
        rest.publishes("reach", "all")
        message = expects(ann, "message")
        assert (message["data"], message["name"], message["from"]) == ({"text": "hi"}, "note", None)
        assert expects(ann, "message")["data"] == "all"
        assert expects(bob, "message")["data"] == "all"


def test_forgotten_messages_are_gone_and_the_epoch_with_them(rest: Rest) -> None:
    before = rest.publishes("forgotten")["position"]
    answer = rest.ask("DELETE", "/v1/rooms/forgotten/messages")
    assert (answer.status_code, answer.content) == (204, b"")
    page = rest.gets(f"/v1/rooms/forgotten/messages?since={before}")
    assert page["messages"] == []
    assert page["complete"] is False
    assert page["position"].partition(":")[0] != before.partition(":")[0]


def test_a_batch_is_stored_in_its_order_and_told_one_by_one(rest: Rest) -> None:
    messages = [{"room": f"batch{n % 2}", "data": n, "key": str(n % 900)} for n in range(1000)]
    answer = rest.ask("POST", "/v1/messages", {"messages": messages})
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result["duplicate"] for result in results] == [False] * 900 + [True] * 100
    for parity in (0, 1):
        offsets = [int(result["position"].partition(":")[2]) for result in results[parity:900:2]]
        assert offsets == list(range(offsets[0], offsets[0] + 450))


@pytest.mark.provokes("error:rate_limited", "limit:publishes_per_second")
def test_a_batch_tells_the_problem_of_each_message_that_is_refused(server: Server) -> None:
    tenant = make_tenant(server, "slow-batch", Limits(publishes_per_second=2, max_message_bytes=10))
    big = {"room": "r", "data": "x" * 20}
    with Rest(server, tenant.api_key) as client:
        body = {"messages": [{"room": "r", "data": 1}, big, *({"room": "r", "data": n} for n in range(20))]}
        results = client.ask("POST", "/v1/messages", body).json()["results"]
    assert results[0]["duplicate"] is False
    assert results[1]["problem"]["type"] == "urn:roomcast:error:too_large"
    assert results[1].keys() == {"problem"}
    refused = [result["problem"] for result in results[2:] if "problem" in result]
    assert refused
    assert {problem["limit"] for problem in refused} == {"publishes_per_second"}


@pytest.mark.provokes("error:rate_limited", "limit:deliveries_per_second")
def test_a_publish_into_a_crowd_counts_by_its_members(server: Server) -> None:
    tenant = make_tenant(server, "crowd", Limits(deliveries_per_second=2))
    with ExitStack() as sockets, Rest(server, tenant.api_key) as client:
        for n in range(6):
            socket = sockets.enter_context(socket_of(server, tenant.token(f"u{n}", join=["hall"])))
            expects(socket, "welcome")
            expects(socket, "joined")
        answers = [client.ask("POST", "/v1/rooms/hall/messages", {"data": n}) for n in range(4)]
        problem = problem_of(answers[-1], "rate_limited")
        assert (problem.limit, problem.scope, problem.room) == ("deliveries_per_second", "tenant", "hall")
        assert answers[0].status_code == 201


def test_a_large_batch_counts_as_several_requests(server: Server) -> None:
    tenant = make_tenant(server, "bulky", Limits(api_requests_per_second=5))
    with Rest(server, tenant.api_key) as client:
        client.refused("malformed", "POST", "/v1/messages", b" " * 8 * 2**20)
        problem = client.refused("rate_limited", "GET", "/v1/counts")
        assert isinstance(problem.retry_after_ms, int)
        assert problem.retry_after_ms > 500


def test_a_batch_that_does_not_fit_is_refused_whole(rest: Rest) -> None:
    good = {"room": "whole", "data": 1}
    for bad in ({"room": "two words", "data": 1}, {"room": "whole"}, {"room": "whole", "data": 1, "exclude": []}):
        rest.refused("invalid", "POST", "/v1/messages", {"messages": [good, bad]})
    rest.refused("invalid", "POST", "/v1/messages", {"messages": [good] * 1001})
    poisoned = b'{"messages":[{"room":"whole","data":1},{"room":"whole","data":%b}]}'
    for data in (b"[1e999]", b'{"a":123456789012345678901234567890}'):
        assert rest.refused("invalid", "POST", "/v1/messages", poisoned % data).path == "$.messages[1].data"
    rest.refused("invalid", "POST", "/v1/messages", poisoned % b'"\\ud800"')
    for data in (b"[" * 200 + b"]" * 200, b'"\xff"', b"NaN"):
        rest.refused("malformed", "POST", "/v1/messages", poisoned % data)
    rest.refused("not_found", "GET", "/v1/rooms/whole")


def test_an_empty_batch_is_answered_empty(rest: Rest) -> None:
    assert rest.ask("POST", "/v1/messages", {"messages": []}).json() == {"results": []}
