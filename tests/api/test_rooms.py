from service.tenants.limits import Limits
from tests.api.conftest import UNHURRIED, make_tenant
from tests.api.rest import Rest, Server, Tenant, expects, socket_of, within


def test_counts_and_rooms_follow_who_comes_and_goes(server: Server) -> None:
    tenant = make_tenant(server, "counted")
    rights = {"rooms": {"*": ["*"]}, "join": ["lobby", "chat:1"]}
    with Rest(server, tenant.api_key) as rest:
        assert rest.gets("/v1/counts") == {"connections": 0, "users": 0, "rooms": 0}
        with (
            socket_of(server, tenant.token("ann", **rights)) as first,
            socket_of(server, tenant.token("ann")) as second,
        ):
            for event in ("welcome", "joined", "joined"):
                expects(first, event)
            expects(second, "welcome")
            within(2, lambda: rest.gets("/v1/counts"), {"connections": 2, "users": 1, "rooms": 2})
            lobby = {"room": "lobby", "connections": 1, "users": 1}
            within(
                2, lambda: rest.gets("/v1/rooms"), {"items": [{**lobby, "room": "chat:1"}, lobby], "next_cursor": None}
            )
            assert rest.gets("/v1/rooms?prefix=chat:") == {"items": [{**lobby, "room": "chat:1"}], "next_cursor": None}
            detail = rest.gets("/v1/rooms/lobby")
            position = detail.pop("position")
            assert detail == {"room": "lobby", "room_type": "default", "connections": 1, "users": 1}
            assert position.endswith(":0")
        within(2, lambda: rest.gets("/v1/counts"), {"connections": 0, "users": 0, "rooms": 0})
        within(2, lambda: rest.gets("/v1/rooms")["items"], [])


def test_rooms_are_paged_by_cursor_each_once(server: Server) -> None:
    tenant = make_tenant(server, "paged")
    names = sorted(f"room-{n:02}" for n in range(25))
    with Rest(server, tenant.api_key) as rest, socket_of(server, tenant.token("ann", join=names)) as socket:
        for event in ("welcome", *("joined" for _ in names)):
            expects(socket, event)
        within(2, lambda: rest.gets("/v1/counts")["rooms"], 25)
        found: list[str] = []
        query = "prefix=room-&limit=10"
        while True:
            page = rest.gets(f"/v1/rooms?{query}")
            assert len(page["items"]) <= 10
            found += [item["room"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            query = f"prefix=room-&limit=10&cursor={page['next_cursor']}"
        assert found == names


def test_a_cursor_of_another_query_tenant_or_list_is_invalid(server: Server, acme: Tenant) -> None:
    tenant = make_tenant(server, "bound")
    with Rest(server, tenant.api_key) as rest, socket_of(server, tenant.token("ann", join=["a1", "a2"])) as socket:
        for event in ("welcome", "joined", "joined"):
            expects(socket, event)
        within(2, lambda: rest.gets("/v1/counts")["rooms"], 2)
        cursor = rest.gets("/v1/rooms?prefix=a&limit=1")["next_cursor"]
        assert [item["room"] for item in rest.gets(f"/v1/rooms?prefix=a&cursor={cursor}")["items"]] == ["a2"]
        for path in (
            f"/v1/rooms?cursor={cursor}",
            f"/v1/rooms?prefix=b&cursor={cursor}",
            f"/v1/connections?cursor={cursor}",
        ):
            assert rest.refused("invalid", "GET", path).path == "$.cursor"
    with Rest(server, acme.api_key) as other:
        assert other.refused("invalid", "GET", f"/v1/rooms?prefix=a&cursor={cursor}").path == "$.cursor"


def test_a_room_that_nobody_ever_used_is_not_found(rest: Rest) -> None:
    assert rest.refused("not_found", "GET", "/v1/rooms/never-seen").detail == "no such room"


def test_a_room_that_keeps_nothing_has_no_position(server: Server) -> None:
    tenant = make_tenant(server, "keeps-nothing", Limits(max_history_messages=0))
    with Rest(server, tenant.api_key) as rest:
        rest.publishes("r")
        assert rest.gets("/v1/rooms/r")["position"] is None


def test_the_same_names_in_two_tenants_are_two_rooms(server: Server, rest: Rest) -> None:
    other = make_tenant(server, "namesake", UNHURRIED)
    rest.publishes("same", "ours")
    with Rest(server, other.api_key) as theirs:
        theirs.refused("not_found", "GET", "/v1/rooms/same")
        assert theirs.gets("/v1/rooms/same/messages")["messages"] == []
        theirs.publishes("same", "theirs")
    assert [item["data"] for item in rest.gets("/v1/rooms/same/messages")["messages"]] == ["ours"]
