"""The documents of a tenant's own contract, over REST; and bodies as clients of generators send them."""

import httpx

from tests.api.conftest import make_tenant
from tests.api.rest import Rest, Server


def test_a_tenant_gets_the_documents_of_its_own_contract(server: Server, operator: Rest) -> None:
    name = "documented"
    tenant = make_tenant(server, name)
    said = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    with Rest(server, tenant.api_key) as rest:
        put = rest.ask("PUT", "/v1/room-types/chat", {"pattern": "chat:*", "messages": {"said": said}})
        assert put.status_code == 201, put.text
        asyncapi = rest.gets("/v1/contract/asyncapi.json")
        assert asyncapi["info"]["title"] == f"Roomcast, tenant {name}"
        assert asyncapi["channels"]["chatRooms"]["address"] == "chat:{rest}"
        assert asyncapi["components"]["schemas"]["ChatSaid"]["properties"] == said["properties"]
        openapi = rest.gets("/v1/contract/openapi.json")
        assert openapi["components"]["schemas"]["ChatSaid"]["required"] == ["text"]
    assert operator.gets(f"/v1/tenants/{name}/contract/asyncapi.json") == asyncapi
    assert operator.gets(f"/v1/tenants/{name}/contract/openapi.json") == openapi


def test_the_documents_need_the_scope_read(server: Server) -> None:
    tenant = make_tenant(server, "undocumented")
    for scope, code in (("read", 200), ("publish", 403)):
        with Rest(server, tenant.scoped_keys[scope]) as rest:
            for document in ("openapi", "asyncapi"):
                answer = rest.ask("GET", f"/v1/contract/{document}.json")
                assert answer.status_code == code
                assert code != 200 or answer.headers["content-type"].startswith(
                    f"application/vnd.{'oai' if document == 'openapi' else 'aai'}"
                )


def test_a_body_behind_an_offer_of_http_2_is_read(server: Server) -> None:
    tenant = make_tenant(server, "javas")
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQ"}
    headers = {**offer, "Authorization": f"Bearer {tenant.api_key}"}
    with httpx.Client(base_url=server.address) as client:
        for _ in range(2):  # the connection goes on
            answer = client.post("/v1/rooms/chat/messages", headers=headers, json={"data": "Upgrade: h2c"})
            assert answer.status_code == 201, answer.text
    with Rest(server, tenant.api_key) as rest:
        assert [each["data"] for each in rest.gets("/v1/rooms/chat/messages")["messages"]] == ["Upgrade: h2c"] * 2
