"""Tokens as an attacker or a careless signer would write them: nothing here is checked before it is signed."""

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey
from joserfc.jws import JWSRegistry

from service.protocol.errors import Unauthenticated
from service.tenants.keys import load_signing_key
from service.tenants.limits import Limits
from service.tenants.snapshot import SigningKey, TenantSnapshot
from service.tenants.tokens import Grant, verify_token

NOW_MS = 1_800_000_000_000
NOW_SECONDS = NOW_MS // 1000


def segment(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def unsegment(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims of alice in acme; None takes a claim out."""
    all_claims = {"tid": "acme", "sub": "alice", "exp": NOW_SECONDS + 3_600} | changes
    return {name: value for name, value in all_claims.items() if value is not None}


def hs256(payload: dict[str, Any] | str | bytes, secret: bytes, **header: Any) -> str:
    """A token with whatever header and payload, under an HMAC of `secret`."""
    all_header = {"alg": "HS256", "kid": "main"} | header
    if isinstance(payload, dict):
        payload = json.dumps(payload)
    text = payload.encode() if isinstance(payload, str) else payload
    signed = f"{segment(json.dumps(all_header).encode())}.{segment(text)}"
    return f"{signed}.{segment(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def asymmetric(payload: dict[str, Any], key: ECKey | OKPKey, **header: Any) -> str:
    """A token signed with a private key; `header` names the algorithm."""
    signed = f"{segment(json.dumps(header).encode())}.{segment(json.dumps(payload).encode())}"
    model = JWSRegistry.algorithms["ES256" if isinstance(key, ECKey) else "Ed25519"]
    return f"{signed}.{segment(model.sign(signed.encode(), key))}"


def tenant(
    name: str = "acme", secret: bytes = b"s" * 43, *, expires_at_ms: int | None = None, **keys: tuple[str, bytes]
) -> TenantSnapshot:
    """A tenant with the HS256 key `main`, and others as kid=(algorithm, material)."""
    material = {"main": ("HS256", secret)} | keys
    return TenantSnapshot(
        id=f"id-{name}".ljust(12, "-"),
        name=name,
        active=True,
        limits=Limits(),
        origins=(),
        signing_keys={
            kid: SigningKey(kid, algorithm, load_signing_key(algorithm, secret), expires_at_ms)
            for kid, (algorithm, secret) in material.items()
        },
        api_keys={},
        version=1,
    )


ACME = tenant()


def accept(token: str, snapshot: TenantSnapshot = ACME) -> Grant:
    """What the token grants now."""
    return verify_token(snapshot, token, NOW_MS)


def refuse(token: str, snapshot: TenantSnapshot = ACME) -> str:
    """What is said when the token is refused, as it must be."""
    with pytest.raises(Unauthenticated) as refused:
        verify_token(snapshot, token, NOW_MS)
    return refused.value.message
