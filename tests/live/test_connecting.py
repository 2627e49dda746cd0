"""PROTOCOL.md, "Connecting"."""

import time

import pytest

from service.commands.dispatch import COMMANDS
from service.protocol.events import Closing, Joined, WelcomeLimits
from service.tenants.audit import OPERATOR
from tests.support.fixtures import Connect, NewTenant
from tests.support.frames import masked_frame
from tests.support.live_server import LiveNode
from tests.support.tenants import Tenant
from tests.support.wire_client import JSON, MSGPACK, TEXT, Refused, handshake

pytestmark = pytest.mark.anyio


async def test_welcome_says_who_where_and_what_is_allowed(
    connect: Connect, new_tenant: NewTenant, binary: bool
) -> None:
    tenant = await new_tenant(commands_per_second=7, max_message_bytes=1000, max_rooms_per_connection=None)
    alice = await connect("alice", tenant=tenant, binary=binary, claims={"ttl_seconds": 600})
    welcome = alice.welcome
    assert (welcome.version, welcome.user, welcome.tenant) == (1, "alice", tenant.name)
    assert 16 <= len(welcome.connection) <= 40
    assert welcome.node
    assert abs(welcome.expires_at_ms / 1000 - time.time() - 600) < 5
    assert welcome.ping_interval_seconds == 25
    assert welcome.limits == WelcomeLimits(
        max_message_bytes=1000,
        max_frame_bytes=9192,
        max_state_bytes=1024,
        max_rooms_per_connection=None,
        commands_per_second=7,
        commands_burst=14,
    )
    commands = {str(command.__struct_config__.tag) for command in COMMANDS}
    assert set(welcome.features) == commands | {"state", "watch"}


@pytest.mark.parametrize(
    ("offers", "selected"),
    [
        ([], None),
        ([JSON], JSON),
        ([MSGPACK], MSGPACK),
        ([MSGPACK, JSON], MSGPACK),
        ([JSON, MSGPACK], JSON),
        (["chat", "roomcast.v2.json", MSGPACK], MSGPACK),
    ],
)
async def test_the_first_known_subprotocol_is_selected_and_the_token_never_echoed(
    connect: Connect, offers: list[str], selected: str | None
) -> None:
    for in_subprotocol in {False, bool(offers)}:
        alice = await connect(offers=offers, in_subprotocol=in_subprotocol)
        assert alice.selected == selected
        await alice.joins("chat")


async def test_only_unknown_subprotocols_are_refused(node: LiveNode, tenant: Tenant) -> None:
    for offers, in_subprotocol in ((["chat"], False), (["chat"], True), ([], True)):
        with pytest.raises(Refused) as refused:
            await handshake(node.address, tenant.token(), offers=offers, in_subprotocol=in_subprotocol)
        assert refused.value.status == 400
        assert refused.value.problem["type"] == "urn:roomcast:error:invalid"


async def test_no_other_path_takes_a_handshake(node: LiveNode, tenant: Tenant) -> None:
    with pytest.raises(Refused) as refused:
        await handshake(node.address, tenant.token(), path="/v1/nowhere")
    assert refused.value.status == 404
    assert refused.value.problem["type"] == "urn:roomcast:error:not_found"


async def test_two_tokens_are_refused(node: LiveNode, tenant: Tenant) -> None:
    token = tenant.token()
    twice = {"Authorization": f"Bearer {token}"}
    for offers in ([JSON], [JSON, f"roomcast.token.{token}"]):
        with pytest.raises(Refused) as refused:
            await handshake(node.address, token, offers=offers, in_subprotocol=True, headers=twice)
        assert refused.value.status == 400


async def test_a_token_in_the_url_is_no_token(node: LiveNode, tenant: Tenant) -> None:
    with pytest.raises(Refused) as refused:
        await handshake(node.address, "", path="/v1/connect?token=" + tenant.token())
    assert refused.value.status == 401


@pytest.mark.provokes("error:unauthenticated", "close:4401")
async def test_unknown_tenant_key_and_signature_look_the_same(
    node: LiveNode, tenant: Tenant, new_tenant: NewTenant
) -> None:
    other = await new_tenant()
    tokens = [
        tenant.token(tid="no-such-tenant"),
        tenant.token(header={"kid": "no-such-key"}),
        tenant.token()[:-6] + "AAAAAA",
        tenant._replace(secret=other.secret).token(),
        tenant._replace(kid=other.kid, secret=other.secret).token(),
        tenant.token(header={"alg": "none"}),
    ]
    answers = set()
    for token in tokens:
        with pytest.raises(Refused) as refused:
            await handshake(node.address, token)
        answers.add((refused.value.status, refused.value.body, refused.value.headers["www-authenticate"]))
    assert len(answers) == 1
    assert answers.pop()[0] == 401
    for token in tokens:
        browser = await handshake(node.address, token, in_subprotocol=True)
        closing = await browser.is_closed_with(4401)
        assert closing is not None
        assert closing.reconnect


async def test_bad_claims_are_unauthenticated(node: LiveNode, tenant: Tenant) -> None:
    now = int(time.time())
    for claims in (
        {"exp": now - 1},
        {"exp": now + 2 * 86_400},
        {"exp": None},
        {"nbf": now + 60},
        {"iat": now + 60},
        {"sub": "a/b"},
        {"sub": None},
        {"info": "x" * 1100},
        {"rooms": {"chat": ["dance"]}},
        {"join": ["no room!"]},
    ):
        with pytest.raises(Refused) as refused:
            await handshake(node.address, tenant.token(**claims))
        assert (refused.value.status, claims) == (401, claims)
    for token in ("", "x", "a.b.c", "x" * 5000):
        with pytest.raises(Refused) as refused:
            await handshake(node.address, token)
        assert refused.value.status == 401


async def test_a_clock_skew_of_half_a_minute_is_forgiven(connect: Connect) -> None:
    later = int(time.time()) + 20
    await connect(claims={"nbf": later, "iat": later})


@pytest.mark.provokes("error:forbidden", "close:4403")
async def test_a_suspended_tenant_is_forbidden_and_its_sockets_close_within_2_s(
    connect: Connect, node: LiveNode, other_node: LiveNode, tenant: Tenant
) -> None:
    clients = [await connect(), await connect(at=other_node, binary=True)]
    started = time.monotonic()
    await tenant.storage.tenants.set_state(OPERATOR, tenant.id, "suspended")
    for client in clients:
        closing = await client.is_closed_with(4403)
        assert closing is not None
        assert not closing.reconnect
    assert time.monotonic() - started < 2
    with pytest.raises(Refused) as refused:
        await handshake(node.address, tenant.token())
    assert (refused.value.status, refused.value.problem["type"]) == (403, "urn:roomcast:error:forbidden")
    browser = await handshake(node.address, tenant.token(), in_subprotocol=True)
    closing = await browser.is_closed_with(4403)
    assert closing is not None
    assert not closing.reconnect


async def test_a_tenants_list_of_origins_is_exact(connect: Connect, node: LiveNode, new_tenant: NewTenant) -> None:
    tenant = await new_tenant(origins=("https://app.example",))
    await connect(tenant=tenant)  # no browser
    await connect(tenant=tenant, headers={"Origin": "https://app.example"})
    for origin in ("https://app.example.evil", "http://app.example", "https://app.example:444", "null"):
        with pytest.raises(Refused) as refused:
            await handshake(node.address, tenant.token(), headers={"Origin": origin})
        assert refused.value.status == 403
        browser = await handshake(node.address, tenant.token(), headers={"Origin": origin}, in_subprotocol=True)
        await browser.is_closed_with(4403)
    await connect(headers={"Origin": "https://any.example"})  # a tenant without a list


async def test_no_upgrade_is_told_to_upgrade(node: LiveNode, tenant: Tenant) -> None:
    with pytest.raises(Refused) as refused:
        await handshake(node.address, tenant.token(), headers={"Upgrade": "", "Connection": "close"})
    assert refused.value.status == 426
    assert refused.value.problem["type"] == "urn:roomcast:error:invalid"


async def test_too_many_headers_are_answered(node: LiveNode, tenant: Tenant) -> None:
    with pytest.raises(Refused) as refused:
        await handshake(node.address, tenant.token(), headers={f"X-{number}": "x" for number in range(200)})
    assert refused.value.status == 431
    assert refused.value.problem["type"] == "urn:roomcast:error:too_large"


async def test_a_command_in_the_handshakes_own_packet_is_not_lost(connect: Connect) -> None:
    first = b'{"type":"join","room":"chat","id":"early"}'
    alice = await connect(behind=masked_frame(first, TEXT))
    await alice.expects(Joined, id="early", room="chat")


async def test_a_refused_browser_gets_its_closing_in_its_subprotocol(node: LiveNode, binary: bool) -> None:
    browser = await handshake(node.address, "nonsense", in_subprotocol=True, binary=binary)
    assert browser.selected == (MSGPACK if binary else JSON)
    closing = await browser.expects(Closing, code=4401, reconnect=True)
    assert closing.reason
    await browser.is_closed_with(4401)
