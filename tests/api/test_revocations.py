"""Revocations over REST."""

import time

import pytest

from tests.api.rest import Rest, Server, Tenant, expects, socket_of, within


def soon_ms(seconds: float = 60) -> int:
    return int((time.time() + seconds) * 1000)


@pytest.mark.provokes("close:4401")
def test_a_users_tokens_are_refused_and_just_its_sockets_closed(server: Server, acme: Tenant, rest: Rest) -> None:
    with socket_of(server, acme.token("revoked-user")) as one, socket_of(server, acme.token("bystander")) as other:
        for socket in (one, other):
            expects(socket, "welcome")
        answer = rest.ask("POST", "/v1/revocations", {"user": "revoked-user", "until_at_ms": soon_ms()})
        assert (answer.status_code, answer.content) == (202, b"")
        assert expects(one, "closing")["code"] == 4401
        assert rest.gets("/v1/users/bystander")["connections"]
    with Rest(server, acme.token("revoked-user")) as user:
        within(2, lambda: user.ask("POST", "/v1/commands", {"type": "ping"}).status_code, 401)
    with Rest(server, acme.token("bystander")) as user:
        assert user.ask("POST", "/v1/commands", {"type": "ping"}).status_code == 200


def test_one_token_is_refused_by_its_jti_until_the_instant(server: Server, acme: Tenant, rest: Rest) -> None:
    assert rest.ask("POST", "/v1/revocations", {"jti": "lost", "until_at_ms": soon_ms(2)}).status_code == 202
    with Rest(server, acme.token("loser", jti="lost")) as lost, Rest(server, acme.token("loser", jti="kept")) as kept:
        within(2, lambda: lost.ask("POST", "/v1/commands", {"type": "ping"}).status_code, 401)
        assert kept.ask("POST", "/v1/commands", {"type": "ping"}).status_code == 200
        within(5, lambda: lost.ask("POST", "/v1/commands", {"type": "ping"}).status_code, 200)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "$.until_at_ms"),
        ({"until_at_ms": 9_000_000_000_000}, "$"),
        ({"user": "u", "jti": "j", "until_at_ms": 9_000_000_000_000}, "$"),
        ({"user": "a/b", "until_at_ms": 9_000_000_000_000}, "$.user"),
        ({"jti": "", "until_at_ms": 9_000_000_000_000}, "$.jti"),
        ({"jti": "x" * 257, "until_at_ms": 9_000_000_000_000}, "$.jti"),
        ({"jti": "a\u0000", "until_at_ms": 9_000_000_000_000}, "$.jti"),
        ({"user": "u", "until_at_ms": 1_700_000_000}, "$.until_at_ms"),
        ({"user": "u", "until_at_ms": "tomorrow"}, "$.until_at_ms"),
        ({"user": "u", "until_at_ms": 9_000_000_000_000, "reason": "x"}, "$.reason"),
    ],
)
def test_a_revocation_that_cannot_be_is_refused(rest: Rest, body: object, path: str) -> None:
    assert rest.refused("invalid", "POST", "/v1/revocations", body).path == path
