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


def test_members_are_paged_by_cursor_as_the_command_does(server: Server) -> None:
    tenant = make_tenant(server, "crowded-room")
    with Rest(server, tenant.api_key) as rest, socket_of(server, tenant.token("ann", join=["a", "b"])) as first:
        ann = expects(first, "welcome")["connection"]
        with socket_of(server, tenant.token("bob", join=["a"])) as second:
            bob = expects(second, "welcome")["connection"]
            for socket, events in ((first, 2), (second, 1)):
                for _ in range(events):
                    expects(socket, "joined")
            page = rest.gets("/v1/rooms/a/members?limit=1")
            assert page["occupancy"] == {"connections": 2, "users": 2}
            cursor = page["next_cursor"]
            rest_of_it = rest.gets(f"/v1/rooms/a/members?limit=1&cursor={cursor}")
            assert "next_cursor" not in rest_of_it
            found = [member["connection"] for member in page["members"] + rest_of_it["members"]]
            assert found == sorted([ann, bob])
            for path in (f"/v1/rooms/b/members?cursor={cursor}", "/v1/rooms/a/members?cursor=nonsense"):
                assert rest.refused("invalid", "GET", path).path == "$.cursor"
            for limit in (0, 1_001, "x"):
                rest.refused("invalid", "GET", f"/v1/rooms/a/members?limit={limit}")
        assert rest.gets("/v1/rooms/nobody-here/members")["members"] == []


def test_a_user_is_put_out_of_one_room_alone(server: Server) -> None:
    tenant = make_tenant(server, "strict-host")
    with Rest(server, tenant.api_key) as rest, socket_of(server, tenant.token("ann", join=["a", "b"])) as socket:
        for event in ("welcome", "joined", "joined"):
            expects(socket, event)
        assert rest.ask("DELETE", "/v1/rooms/a/members/ann").status_code == 202
        left = expects(socket, "left")
        assert (left["room"], left["reason"]) == ("a", "server")
        assert rest.gets("/v1/rooms/a/members")["members"] == []
        assert len(rest.gets("/v1/rooms/b/members")["members"]) == 1
        assert rest.ask("DELETE", "/v1/rooms/a/members/nobody").status_code == 202
        rest.refused("invalid", "DELETE", "/v1/rooms/a/members/%01")


def test_a_room_without_presence_has_no_list_of_members(server: Server) -> None:
    tenant = make_tenant(server, "discreet-room")
    with Rest(server, tenant.api_key) as rest:
        rest.ask("PUT", "/v1/room-types/quiet", {"pattern": "quiet:*", "presence": False})
        assert rest.refused("forbidden", "GET", "/v1/rooms/quiet:1/members").room == "quiet:1"
