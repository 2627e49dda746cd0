"""Secrets: sealed at rest, API keys by their hash, signing keys with the one algorithm that each is for."""

import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
import string
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, OKPKey

from service.private_files import read_or_make_private_file
from service.protocol.errors import Invalid
from service.protocol.identifiers import is_tenant
from service.tenants.snapshot import ApiKey, VerificationKey

SEALING_KEY_BYTES = 32  # AES-256
_NONCE_BYTES = 12  # NIST SP 800-38D: 96 bits
_SEAL_FORMAT = b"\x01"

_BASE62 = string.digits + string.ascii_letters
_ID_CHARACTERS = 12  # 71 bits: never drawn twice
_SECRET_CHARACTERS = 43  # 43 x log2(62) = 256.03 bits
_API_KEY = re.compile(
    rf"rck_([a-z0-9-]{{1,63}})_([0-9A-Za-z]{{{_ID_CHARACTERS}}})_([0-9A-Za-z]{{{_SECRET_CHARACTERS}}})"
)

HMAC_MIN_BYTES = 32  # RFC 7518, section 3.2: a key of the hash's size or larger
_CURVES = {"ES256": "P-256", "EdDSA": "Ed25519", "Ed25519": "Ed25519"}  # RFC 9864 renames EdDSA: both are taken
ALGORITHMS: tuple[str, ...] = ("HS256", *_CURVES)


class SealingKeyError(Exception):
    """The sealing key is missing, malformed or not the one that sealed the database; says what to do."""


def random_id() -> str:
    """An unguessable id of 12 base62 characters."""
    return _random_text(_ID_CHARACTERS)


def _random_text(characters: int) -> str:
    return "".join(secrets.choice(_BASE62) for _ in range(characters))


# Sealing: what must be read back (signing secrets) lies in SQL only encrypted.


class Sealer:
    """AES-256-GCM under one key. `context` (tenant id and kid) is authenticated: a sealed value fits one row only."""

    def __init__(self, key: bytes) -> None:
        if len(key) != SEALING_KEY_BYTES:
            raise SealingKeyError(f"the sealing key has {len(key)} bytes and needs {SEALING_KEY_BYTES}")
        self._cipher = AESGCM(key)
        self._check = hmac.digest(key, b"roomcast sealing key check", "sha256").hex()

    @property
    def check_value(self) -> str:
        """Tells one sealing key from another and nothing about it; kept in the database to find a wrong key."""
        return self._check

    def seal(self, plain: bytes, context: str) -> bytes:
        """`plain` encrypted, to be opened with the same `context` alone."""
        nonce = os.urandom(_NONCE_BYTES)
        return _SEAL_FORMAT + nonce + self._cipher.encrypt(nonce, plain, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """What was sealed. Raises SealingKeyError when key, context or bytes are not the ones of sealing."""
        nonce, encrypted = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        if sealed[:1] != _SEAL_FORMAT or len(nonce) != _NONCE_BYTES:
            raise SealingKeyError("a sealed secret in the database has an unknown format")
        try:
            return self._cipher.decrypt(nonce, encrypted, context.encode())
        except InvalidTag:
            raise SealingKeyError("a sealed secret in the database does not open: it was moved or altered") from None


def parse_sealing_key(text: str) -> bytes:
    """A sealing key from its base64 text (either alphabet). Raises SealingKeyError; the key is never in the text."""
    try:
        key = base64.b64decode(text.strip().replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        raise SealingKeyError("the sealing key is not base64; make one with: openssl rand -base64 32") from None
    if len(key) != SEALING_KEY_BYTES:
        raise SealingKeyError(f"the sealing key has {len(key)} bytes and needs {SEALING_KEY_BYTES} (in base64)")
    return key


def load_or_make_sealing_key(path: str | Path) -> bytes:
    """The sealing key in the file (0600, base64), made on the first call. Safe when two processes start at once."""
    try:
        text = read_or_make_private_file(
            Path(path), lambda: base64.b64encode(os.urandom(SEALING_KEY_BYTES)).decode("ascii")
        )
    except PermissionError as error:
        raise SealingKeyError(f"the sealing key {path} can't be used: {error.strerror}") from None
    return parse_sealing_key(text)


# The operator's token: rco_<secret>.


def new_operator_token() -> str:
    """A new token of 256 random bits, told from an API key by its beginning."""
    return f"rco_{_random_text(_SECRET_CHARACTERS)}"


# API keys: rck_<tenant>_<key id>_<secret>.


class ApiKeyText(NamedTuple):
    """The parts of an API key as its holder sends it."""

    tenant: str
    key_id: str
    secret: str


def new_api_key(tenant_name: str) -> tuple[str, str, bytes]:
    """A new key as (text, key id, hash). The text is shown once; the hash is what is kept."""
    key_id = random_id()
    text = f"rck_{tenant_name}_{key_id}_{_random_text(_SECRET_CHARACTERS)}"
    return text, key_id, hash_api_key(text)


def parse_api_key(text: str) -> ApiKeyText | None:
    """The parts of a key, None if it is none to the letter."""
    match = _API_KEY.fullmatch(text)
    if match is None or not is_tenant(match[1]):
        return None
    return ApiKeyText(match[1], match[2], match[3])


def hash_api_key(text: str) -> bytes:
    """SHA-256 of the whole key: 256 random bits need no slow hash, and tenant and id are bound in."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


_NO_HASH = b"\0" * 32


def is_api_key(text: str, stored: ApiKey | None) -> bool:
    """Whether `text` is the stored key, in constant time; an unknown key costs the same comparison."""
    expected = _NO_HASH if stored is None else stored.hash
    return hmac.compare_digest(hash_api_key(text), expected) and stored is not None


# Signing keys.


def new_hs256_secret() -> str:
    """A new secret, url-safe text of 43 characters. Its UTF-8 bytes are the HMAC key."""
    return secrets.token_urlsafe(32)


def load_signing_key(algorithm: str, material: bytes) -> VerificationKey:
    """The key from its stored material: HS256 the secret's bytes; ES256 and EdDSA a PEM or JWK, public or private.

    Raises Invalid when the material is not a key of exactly this algorithm.
    """
    if algorithm == "HS256":
        if len(material) < HMAC_MIN_BYTES:
            raise Invalid(f"an HS256 secret needs at least {HMAC_MIN_BYTES} bytes", "$.secret")
        return OctKey.import_key({"kty": "oct", "k": base64.urlsafe_b64encode(material).rstrip(b"=").decode()})
    if algorithm not in _CURVES:
        raise Invalid(f"the algorithms are {', '.join(ALGORITHMS)}, not {algorithm!r}", "$.algorithm")
    try:
        data = _jwk_members(material) if material.lstrip().startswith(b"{") else material
        key = ECKey.import_key(data) if algorithm == "ES256" else OKPKey.import_key(data)
        curve = key.curve_name
    except (JoseError, msgspec.MsgspecError, ValueError, TypeError, KeyError):
        raise Invalid(f"this is no PEM or JWK of a key for {algorithm}", "$.key") from None
    if curve != _CURVES[algorithm]:
        raise Invalid(f"{algorithm} needs a key on {_CURVES[algorithm]}, not {curve}", "$.key")
    return key


def _jwk_members(material: bytes) -> dict[str, Any]:
    """The members that make the key. `use`, `key_ops` and `alg` are left out: the stored algorithm says it all."""
    members = msgspec.json.decode(material, type=dict[str, Any])
    return {name: members[name] for name in ("kty", "crv", "x", "y", "d") if name in members}
