"""Public keys as tenants import them: a PEM or a JWK, never a private one."""

from collections.abc import Mapping
from typing import Any

import msgspec

from service.protocol.errors import Invalid
from service.tenants.keys import load_signing_key


def read_public_key(algorithm: str, pem: str | None, jwk: Mapping[str, Any] | None) -> bytes | None:
    """The material to store for ES256 and EdDSA; None for HS256, whose secret is made here.

    Raises Invalid, path `$.pem` or `$.jwk`: not exactly one of them, no key of the algorithm, or a private one.
    """
    if algorithm == "HS256":
        if pem is not None or jwk is not None:
            raise Invalid("an HS256 secret is made here: send neither pem nor jwk", "$.jwk" if pem is None else "$.pem")
        return None
    if (pem is None) == (jwk is None):
        raise Invalid(f"{algorithm} needs a public key, as pem or as jwk", "$.pem")
    path = "$.jwk" if pem is None else "$.pem"
    material = msgspec.json.encode(jwk) if pem is None else pem.encode()
    try:
        key = load_signing_key(algorithm, material)
    except Invalid as error:
        raise Invalid(error.message, path) from None
    if key.is_private:
        raise Invalid("this is a private key: keep it, and send the public one", path)
    return material
