"""Claims that verified and are not right: what is said."""

import json
from typing import Any

import pytest

from tests.tenants.jwts import NOW_MS, NOW_SECONDS, accept, claims, hs256, refuse, tenant

SECRET = b"s" * 43
NOT_VALID = "the token is not valid"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"exp": None}, "exp"),
        ({"exp": NOW_SECONDS}, "has expired"),
        ({"exp": NOW_SECONDS - 1}, "has expired"),
        ({"exp": 0}, "has expired"),
        ({"exp": -(10**40)}, "has expired"),
        ({"exp": NOW_SECONDS + 86_400 + 31}, "24 hours"),
        ({"exp": 10**40}, "24 hours"),
        ({"exp": 1e308}, "24 hours"),
        ({"exp": "soon"}, "malformed"),
        ({"exp": str(NOW_SECONDS + 60)}, "malformed"),
        ({"exp": True}, "malformed"),
        ({"nbf": NOW_SECONDS + 31}, "not valid yet"),
        ({"iat": NOW_SECONDS + 31}, "in the future"),
        ({"iat": 1e308}, "in the future"),
        ({"nbf": "0"}, "malformed"),
        ({"sub": None}, "sub"),
        ({"sub": ""}, "sub"),
        ({"sub": 7}, "malformed"),
        ({"sub": "alice\n"}, "sub"),
        ({"sub": "a/b"}, "sub"),
        ({"sub": ".."}, "sub"),
        ({"sub": "a\x00b"}, "sub"),
        ({"sub": "a" * 129}, "sub"),
        ({"jti": 5}, "malformed"),
        ({"send": "yes"}, "malformed"),
        ({"send": 1}, "malformed"),
        ({"info": "x" * 1_023}, "1024 bytes"),
        ({"info": 2**64}, "info"),
        ({"rooms": []}, "rooms"),
        ({"rooms": {"chat": "join"}}, "rooms"),
        ({"rooms": {"chat": ["admin"]}}, "verb"),
        ({"rooms": {"chat": ["JOIN"]}}, "verb"),
        ({"rooms": {"": ["join"]}}, "pattern"),
        ({"rooms": {"a b": ["join"]}}, "pattern"),
        ({"rooms": {"chat\n": ["join"]}}, "pattern"),
        ({"rooms": {"a*b": ["join"]}}, "pattern"),
        ({"rooms": {"a**": ["join"]}}, "pattern"),
        ({"rooms": {"a" * 201: ["join"]}}, "pattern"),
        ({"rooms": {"a/*": ["join"]}}, "pattern"),
        ({"rooms": {".": ["join"]}}, "pattern"),
        ({"join": "chat"}, "join"),
        ({"join": ["chat\n"]}, "join"),
        ({"join": [1]}, "join"),
        ({"join": ["chat:*"]}, "join"),
    ],
)
def test_a_bad_claim_says_what_is_wrong(changes: dict[str, Any], says: str) -> None:
    message = refuse(hs256(claims(**changes), SECRET))
    assert says in message
    assert message != NOT_VALID


def test_a_tenant_name_with_a_newline_is_no_tenant() -> None:
    assert refuse(hs256(claims(tid="acme\n"), SECRET)) == NOT_VALID


def test_the_clock_may_be_30_seconds_off_but_not_for_exp() -> None:
    accept(hs256(claims(iat=NOW_SECONDS + 30, nbf=NOW_SECONDS + 30), SECRET))
    accept(hs256(claims(exp=NOW_SECONDS + 86_430), SECRET))
    assert accept(hs256(claims(exp=NOW_SECONDS + 0.5), SECRET)).expires_at_ms == NOW_MS + 500


@pytest.mark.parametrize("info", ['"\\ud800"', "1e999", "-1e999", "18446744073709551616", "NaN", "Infinity"])
def test_info_that_would_poison_others_is_refused(info: str) -> None:
    payload = json.dumps(claims())[:-1] + f',"info":{info}}}'
    refuse(hs256(payload, SECRET))


def test_info_is_passed_on_byte_for_byte() -> None:
    payload = json.dumps(claims())[:-1] + ', "info": {"a": 1.0,  "a":"é\\u00e9"} }'
    assert accept(hs256(payload, SECRET)).info == '{"a": 1.0,  "a":"é\\u00e9"}'.encode()


def test_an_expired_signing_key_is_told_only_to_who_has_it() -> None:
    expired = tenant(expires_at_ms=NOW_MS)
    assert "signing key has expired" in refuse(hs256(claims(), SECRET), expired)
    assert refuse(hs256(claims(), b"x" * 43), expired) == NOT_VALID


def test_no_refusal_repeats_the_token() -> None:
    for payload in (claims(sub="canary/"), claims(info="canary" * 300), claims(rooms={"canary\n": ["join"]})):
        assert "canary" not in refuse(hs256(payload, SECRET))
