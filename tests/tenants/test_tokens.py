import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey
from msgspec.structs import replace

from service.protocol.errors import Conflict, Unauthenticated
from service.tenants.tokens import MAX_TOKEN_BYTES, sign_token, verify_token
from tests.tenants.jwts import (
    ACME,
    NOW_MS,
    NOW_SECONDS,
    accept,
    asymmetric,
    claims,
    hs256,
    refuse,
    segment,
    tenant,
    unsegment,
)

SECRET = b"s" * 43
ELLIPTIC = ECKey.generate_key("P-256")
EDWARDS = OKPKey.generate_key("Ed25519")
ALL_KINDS = tenant(
    es=("ES256", ELLIPTIC.as_pem(private=False)),
    ed=("EdDSA", json.dumps(EDWARDS.as_dict(private=False)).encode()),
)


NOT_VALID = "the token is not valid"


# What is granted.


def test_a_token_grants_what_its_claims_say() -> None:
    rooms = {"chat:*": ["join", "publish"], "news": ["join"]}
    grant = accept(hs256(claims(rooms=rooms, join=["lobby", "lobby"], send=True, info={"n": 1}, jti="j"), SECRET))
    assert (grant.tenant_id, grant.user, grant.kid) == (ACME.id, "alice", "main")
    assert grant.expires_at_ms == NOW_MS + 3_600_000
    assert (grant.join, grant.send, grant.info, grant.jti) == (("lobby",), True, b'{"n": 1}', "j")
    assert grant.allows("chat:1", "publish")
    assert not grant.allows("chat:1", "history")
    assert grant.allows("lobby", "join")
    assert not grant.allows("lobby", "publish")


def test_a_token_without_rights_grants_none() -> None:
    grant = accept(hs256(claims(), SECRET))
    assert (grant.join, grant.send, grant.info, grant.jti) == ((), False, None, None)
    assert not grant.allows("chat", "join")


def test_unknown_claims_and_headers_are_no_matter() -> None:
    accept(hs256(claims(iss="us", aud=["you"]), SECRET, typ="JWT", cty="x", custom=1))


def test_equal_rights_are_one_object() -> None:
    first, second = (
        accept(hs256(claims(sub=user, rooms={"a*": ["*"]}, join=["b"]), SECRET)) for user in ("alice", "bob")
    )
    assert first.rooms is second.rooms
    assert first.join is second.join


def test_a_suspended_tenants_token_verifies_as_the_caller_says_forbidden() -> None:
    assert accept(hs256(claims(), SECRET), replace(ACME, active=False)).user == "alice"


def test_elliptic_and_edwards_keys_verify_under_both_names() -> None:
    assert accept(asymmetric(claims(), ELLIPTIC, alg="ES256", kid="es"), ALL_KINDS).kid == "es"
    for alg in ("EdDSA", "Ed25519"):
        assert accept(asymmetric(claims(), EDWARDS, alg=alg, kid="ed"), ALL_KINDS).kid == "ed"


def test_the_socket_ends_with_the_signing_key_if_that_is_sooner() -> None:
    until = NOW_MS + 5_000
    assert accept(hs256(claims(), SECRET), tenant(expires_at_ms=until)).expires_at_ms == until


# Forged and foreign.


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "", "HS384", "HS512", "RS256", "ES256", "EdDSA", "hs256"])
def test_no_other_algorithm_than_the_keys_is_taken(alg: str) -> None:
    signed = hs256(claims(), SECRET, alg=alg)
    assert refuse(signed) == NOT_VALID
    assert refuse(signed.rpartition(".")[0] + ".") == NOT_VALID
    assert refuse(signed.rpartition(".")[0]) == NOT_VALID


@pytest.mark.parametrize("kid", ["es", "ed"])
@pytest.mark.parametrize("alg", ["HS256", "ES256", "EdDSA", "Ed25519"])
def test_an_hmac_with_a_public_key_as_secret_is_refused(kid: str, alg: str) -> None:
    public = ELLIPTIC if kid == "es" else EDWARDS
    for secret in (
        public.as_pem(private=False),
        public.as_pem(private=False).strip(),
        public.as_der(private=False),
        json.dumps(public.as_dict(private=False)).encode(),
    ):
        assert refuse(hs256(claims(), secret, kid=kid, alg=alg), ALL_KINDS) == NOT_VALID


def test_a_key_of_one_curve_does_not_verify_for_the_other() -> None:
    assert refuse(asymmetric(claims(), ELLIPTIC, alg="ES256", kid="ed"), ALL_KINDS) == NOT_VALID
    assert refuse(asymmetric(claims(), EDWARDS, alg="EdDSA", kid="es"), ALL_KINDS) == NOT_VALID
    assert refuse(asymmetric(claims(), ECKey.generate_key("P-256"), alg="ES256", kid="es"), ALL_KINDS) == NOT_VALID


@pytest.mark.parametrize(
    "header",
    [
        {"jku": "https://evil.example/keys"},
        {"jwk": {"kty": "oct", "k": segment(SECRET)}},
        {"x5u": "https://evil.example/cert"},
        {"x5c": ["MIIB"]},
        {"x5t": "abc"},
        {"x5t#S256": "abc"},
        {"crit": ["exp"], "exp": 1},
        {"b64": False},
        {"zip": "DEF"},
        {"jku": None},
    ],
)
def test_headers_that_bring_keys_or_rules_are_refused(header: dict[str, Any]) -> None:
    assert refuse(hs256(claims(), SECRET, **header)) == NOT_VALID


@pytest.mark.parametrize("kid", [None, 1, "", "other", "main\n", ["main"], {"kid": "main"}])
def test_only_a_kid_of_the_tenant_counts(kid: Any) -> None:
    assert refuse(hs256(claims(), SECRET, kid=kid)) == NOT_VALID


def test_a_claim_changed_after_signing_is_refused() -> None:
    header, payload, signature = hs256(claims(), SECRET).split(".")
    for changed in (claims(sub="bob"), claims(tid="other"), claims(exp=NOW_SECONDS + 7_200)):
        assert refuse(f"{header}.{segment(json.dumps(changed).encode())}.{signature}") == NOT_VALID
    assert refuse(f"{header}.{payload}.{segment(bytes(32))}") == NOT_VALID
    assert refuse(f"{header}.{payload}.{segment(unsegment(signature)[:16])}") == NOT_VALID


def test_another_tenants_key_and_name_do_not_meet() -> None:
    other = tenant("other", b"o" * 43)
    assert refuse(hs256(claims(), b"o" * 43)) == NOT_VALID
    assert refuse(hs256(claims(), SECRET), other) == NOT_VALID
    # Signed by acme's own key, in the name of another tenant:
    assert refuse(hs256(claims(tid="other"), SECRET)) == NOT_VALID
    assert refuse(hs256(claims(tid="other"), SECRET), other) == NOT_VALID
    # Two tenants with one kid and one secret are two tenants still:
    twin = tenant("twin", SECRET)
    assert refuse(hs256(claims(), SECRET), twin) == NOT_VALID


def test_of_duplicate_claims_the_last_counts_for_the_look_up_and_the_check() -> None:
    payload = '{"tid":"%s","tid":"%s","sub":"eve","sub":"alice","exp":%d}'
    exp = NOW_SECONDS + 60
    assert accept(hs256(payload % ("other", "acme", exp), SECRET)).user == "alice"
    assert refuse(hs256(payload % ("acme", "other", exp), SECRET)) == NOT_VALID


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "...", "a.b", "a.b.c.d", "a.b.c", "é.b.c", "a.b.c\n", " a.b.c", "a=.b.c", "a+.b.c", "a\x00.b.c"],
)
def test_what_is_no_token_is_refused(token: str) -> None:
    assert refuse(token) == NOT_VALID


def test_a_good_token_with_anything_around_it_is_refused() -> None:
    good = hs256(claims(), SECRET)
    for token in (good + "\n", good + "=", " " + good, good + ".", good + ".x", good.replace(".", "..", 1)):
        assert refuse(token) == NOT_VALID


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"null",
        b"1",
        b'"acme"',
        b"{",
        b"\xff",
        b'{"tid":"acme\xff"}',
        b'{"tid":null}',
        b'{"tid":["acme"]}',
        b'{"tid":"acme\\ud800"}',
        b'{"tid":"acme"}x',
        '{"tid":"acme"}'.encode("utf-16"),
    ],
)
def test_a_payload_without_a_tenant_is_refused(payload: bytes) -> None:
    assert refuse(hs256(payload, SECRET)) == NOT_VALID


@pytest.mark.parametrize("inner", ["[", '{"a":'])
def test_deep_nesting_is_refused_and_harms_nobody(inner: str) -> None:
    close = "]" if inner == "[" else "}"
    for depth in (10_000, 1_500, 400):
        text = inner * depth + ("" if inner == "[" else "1") + close * depth
        good = json.dumps(claims())
        for payload in (text, f'{good[:-1]},"info":{text}}}', f'{good[:-1]},"rooms":{text}}}'):
            refuse(hs256(payload, SECRET))
        # The header, too.
        forged = f'{{"alg":"HS256","kid":"main","x":{text}}}'
        refuse(f"{segment(forged.encode())}.{segment(good.encode())}.{segment(bytes(32))}")


def test_a_huge_token_is_refused_by_its_size() -> None:
    just_fits = hs256(claims(pad="x" * 2_850), SECRET)
    assert len(just_fits) <= MAX_TOKEN_BYTES
    accept(just_fits)
    assert "4096 bytes" in refuse(hs256(claims(pad="x" * 3_000), SECRET))
    assert "4096 bytes" in refuse("a" * 10_000_000)


@given(st.text(max_size=300) | st.from_regex(r"[A-Za-z0-9_-]{0,80}\.[A-Za-z0-9_-]{0,80}\.[A-Za-z0-9_-]{0,80}"))
def test_no_text_raises_anything_but_unauthenticated(token: str) -> None:
    refuse(token)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5), st.lists))
def test_no_signed_claim_raises_anything_but_unauthenticated(value: Any) -> None:
    for name in ("tid", "sub", "exp", "iat", "nbf", "jti", "info", "rooms", "join", "send"):
        try:
            verify_token(ACME, hs256(json.dumps(claims() | {name: value}), SECRET), NOW_MS)
        except Unauthenticated:
            continue


# What is revoked.


def test_all_tokens_of_a_revoked_user_are_refused_while_it_lasts() -> None:
    revoked = replace(ACME, revoked_users={"alice": NOW_MS + 1})
    for jti in ("j", None):
        assert refuse(hs256(claims(jti=jti), SECRET), revoked) == "the token is revoked"
    accept(hs256(claims(sub="bob", jti="alice"), SECRET), revoked)
    accept(hs256(claims(), SECRET), replace(ACME, revoked_users={"alice": NOW_MS}))


def test_a_revoked_token_is_refused_and_no_other_of_its_user() -> None:
    revoked = replace(ACME, revoked_jtis={"j": NOW_MS + 1})
    assert refuse(hs256(claims(jti="j"), SECRET), revoked) == "the token is revoked"
    for jti in ("k", "", None):
        accept(hs256(claims(jti=jti), SECRET), revoked)
    accept(hs256(claims(sub="j"), SECRET), revoked)
    accept(hs256(claims(jti="j"), SECRET), replace(ACME, revoked_jtis={"j": NOW_MS}))


def test_a_revocation_is_told_only_to_who_has_a_valid_token() -> None:
    revoked = replace(ACME, revoked_users={"alice": NOW_MS + 1})
    assert refuse(hs256(claims(), b"w" * 43), revoked) == NOT_VALID


def test_no_token_is_signed_for_a_revoked_user() -> None:
    revoked = replace(ACME, revoked_users={"alice": NOW_MS + 1})
    with pytest.raises(Conflict):
        sign_token(revoked, user="alice", now_ms=NOW_MS)
    sign_token(revoked, user="bob", now_ms=NOW_MS)
