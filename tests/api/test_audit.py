"""The audit over REST: who changed what."""

import json
import time
from datetime import UTC, datetime

import pytest

from tests.api.conftest import make_tenant
from tests.api.rest import Rest, Server, Tenant


def instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


WRITTEN = [
    ("tenant.create", "operator"),
    ("signing_key.create", "operator"),
    ("api_key.create", "operator"),
    ("api_key.create", "api_key"),
    ("api_key.revoke", "api_key"),
    ("signing_key.create", "api_key"),
    ("signing_key.revoke", "api_key"),
    ("room_type.put", "api_key"),
    ("room_type.put", "api_key"),
    ("room_type.delete", "api_key"),
    ("revocation.add", "api_key"),
    ("tenant.change", "operator"),
    ("tenant.suspend", "operator"),
    ("tenant.resume", "operator"),
]


def test_every_write_of_operator_and_tenant_stands_there_newest_first(server: Server, operator: Rest) -> None:
    made = operator.ask("POST", "/v1/tenants", {"name": "audited"}).json()
    with Rest(server, made["api_key"]) as client:
        new = client.ask("POST", "/v1/keys", {"scopes": ["read"]}).json()
        client.ask("DELETE", f"/v1/keys/{new['key_id']}")
        second = client.ask("POST", "/v1/signing-keys", {"algorithm": "HS256"}).json()
        client.ask("DELETE", f"/v1/signing-keys/{second['kid']}")
        client.ask("PUT", "/v1/room-types/a", {"history_messages": 5})
        client.ask("PUT", "/v1/room-types/a", {"history_messages": 6})
        client.ask("DELETE", "/v1/room-types/a")
        client.ask("POST", "/v1/revocations", {"user": "ann", "until_at_ms": int(time.time() * 1000) + 60_000})
    for _ in range(2):  # the second one changes nothing
        operator.ask("PATCH", "/v1/tenants/audited", {"limits": {"max_rooms": 5}})
    operator.ask("POST", "/v1/tenants/audited/suspend")
    operator.ask("POST", "/v1/tenants/audited/resume")
    entries = operator.gets("/v1/tenants/audited/audit")["items"]
    assert [(item["action"], item["actor_kind"]) for item in reversed(entries)] == WRITTEN
    by_key = [item for item in entries if item["actor_kind"] == "api_key"]
    assert {item["actor_id"] for item in by_key} == {made["api_key"].split("_")[2]}
    (changed,) = (item for item in entries if item["action"] == "tenant.change")
    assert (changed["before"], changed["after"]) == ({"limits": {"max_rooms": 100_000}}, {"limits": {"max_rooms": 5}})
    for secret in (made["api_key"], new["api_key"], made["signing_key"]["secret"], second["secret"]):
        assert secret.rpartition("_")[2] not in json.dumps(entries)


def test_the_log_has_a_line_of_json_for_each_write(server: Server, operator: Rest) -> None:
    operator.ask("POST", "/v1/tenants", {"name": "logged"})
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if '"logged"' in line]
    written = {line["action"]: line for line in lines if line["event"] == "audit"}
    assert {"tenant.create", "signing_key.create", "api_key.create"} <= written.keys()
    assert (written["tenant.create"]["actor_kind"], written["tenant.create"]["tenant"]) == ("operator", "logged")


def test_the_audit_is_read_page_by_page_and_between_instants(server: Server) -> None:
    tenant = make_tenant(server, "paged-audit")
    with Rest(server, tenant.api_key) as client:
        before = time.time() - 60
        for name in "abcde":
            client.ask("PUT", f"/v1/room-types/{name}", {})
        found: list[str] = []
        query = f"/v1/audit?limit=2&from={instant(before)}"
        path = query
        while True:
            page = client.gets(path)
            found += [item["subject"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            path = f"{query}&cursor={page['next_cursor']}"
        assert found[:5] == list("edcba")
        assert client.gets(f"/v1/audit?to={instant(before)}")["items"] == []
        assert client.gets(f"/v1/audit?from={instant(time.time() + 60)}")["items"] == []
        first = client.gets("/v1/audit?limit=1")
        assert client.refused("invalid", "GET", f"{query}&cursor={first['next_cursor']}").path == "$.cursor"


@pytest.mark.parametrize(
    "text", ["yesterday", "1764000000", "2026-11-24", "2026-11-24T12:00:00", "2026-11-24T12:00:00+00:00"]
)
@pytest.mark.parametrize("name", ["from", "to"])
def test_an_instant_in_another_form_is_invalid(rest: Rest, name: str, text: str) -> None:
    assert rest.refused("invalid", "GET", f"/v1/audit?{name}={text}").path == f"$.{name}"


def test_a_tenant_reads_its_own_audit_alone(server: Server, acme: Tenant, globex: Tenant) -> None:
    with Rest(server, globex.api_key) as client:
        client.ask("PUT", "/v1/room-types/theirs-alone", {})
        client.ask("DELETE", "/v1/room-types/theirs-alone")
    with Rest(server, acme.api_key) as client:
        assert "theirs-alone" not in str(client.gets("/v1/audit?limit=1000"))
