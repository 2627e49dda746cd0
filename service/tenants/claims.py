"""The claims of a token whose signature verified, and the grant that they make (PROTOCOL.md, "Connecting")."""

import msgspec

from service.protocol.codec import check_json
from service.protocol.errors import Forbidden, RoomcastError
from service.protocol.identifiers import is_user
from service.tenants.rights import BadClaim, RoomRights, compile_rooms, parse_join
from service.tenants.snapshot import SigningKey, TenantSnapshot

MAX_INFO_BYTES = 1_024
MAX_TTL_SECONDS = 86_400
CLOCK_SKEW_SECONDS = 30


class _Claims(msgspec.Struct):
    """PROTOCOL.md, "Claims"; others are ignored."""

    tid: str
    sub: str
    exp: int | float
    iat: int | float = 0
    nbf: int | float = 0
    jti: str | None = None
    info: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    rooms: msgspec.Raw = msgspec.Raw(b"{}")
    join: msgspec.Raw = msgspec.Raw(b"[]")
    send: bool = False


_claims_decoder = msgspec.json.Decoder(_Claims)


class Grant(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What a verified token gives. One for each connection, so small: equal rights are one shared object."""

    tenant_id: str
    user: str
    kid: str  # the socket ends when this key is revoked
    expires_at_ms: int  # of the token, or of its signing key if that ends before
    jti: str | None
    info: bytes | None  # JSON as sent, at most MAX_INFO_BYTES, free of what cannot travel on
    join: tuple[str, ...]
    send: bool
    rooms: RoomRights

    def allows(self, room: str, verb: str) -> bool:
        """Whether the user may `verb` (join publish signal presence history) in `room`."""
        return self.rooms.allows(room, verb) or (verb == "join" and room in self.join)

    def check(self, verb: str, room: str) -> None:
        """Raise Forbidden unless the user may `verb` in `room`."""
        if not self.allows(room, verb):
            raise Forbidden(f"the token does not allow {verb} in this room", room)


def read_claims(text: str, snapshot: TenantSnapshot, key: SigningKey, now_ms: int) -> Grant:
    """The grant of verified claims. Raises BadClaim with the reason."""
    try:
        claims = _claims_decoder.decode(text)
    except msgspec.ValidationError as error:
        path = str(error).partition(" - at ")[2].strip("`")
        raise BadClaim(f"a claim of the token is malformed: {error}", path or "$") from None
    except (msgspec.MsgspecError, RecursionError):
        raise BadClaim("the token's claims are no JSON that can be read", "$") from None
    if claims.tid != snapshot.name:
        raise BadClaim("the token is not valid", "$.tid")
    if not is_user(claims.sub):
        raise BadClaim("the claim sub is no user identifier", "$.sub")
    _check_times(claims, now_ms)
    expires_at_ms = int(claims.exp * 1000)
    return Grant(
        tenant_id=snapshot.id,
        user=claims.sub,
        kid=key.kid,
        expires_at_ms=expires_at_ms if key.expires_at_ms is None else min(expires_at_ms, key.expires_at_ms),
        jti=claims.jti,
        info=None if claims.info is msgspec.UNSET else _check_info(bytes(claims.info)),
        join=parse_join(bytes(claims.join)),
        send=claims.send,
        rooms=compile_rooms(bytes(claims.rooms)),
    )


def _check_times(claims: _Claims, now_ms: int) -> None:
    now_seconds = now_ms / 1000
    if claims.exp <= now_seconds:
        raise BadClaim("the token has expired", "$.exp")
    # Our clock may be behind the signer's, who set exp to just 24 h from its own now.
    if claims.exp > now_seconds + MAX_TTL_SECONDS + CLOCK_SKEW_SECONDS:
        raise BadClaim("the claim exp is more than 24 hours away", "$.exp")
    if claims.nbf > now_seconds + CLOCK_SKEW_SECONDS:
        raise BadClaim("the token is not valid yet (nbf)", "$.nbf")
    if claims.iat > now_seconds + CLOCK_SKEW_SECONDS:
        raise BadClaim("the token was issued in the future (iat)", "$.iat")


def _check_info(info: bytes) -> bytes:
    """`info` as sent, when it can travel on to other members (PROTOCOL.md, "Formats"). Raises BadClaim."""
    if len(info) > MAX_INFO_BYTES:
        raise BadClaim(f"the claim info is larger than {MAX_INFO_BYTES} bytes", "$.info")
    try:
        check_json(info, "$.info")
    except RoomcastError as error:
        raise BadClaim(f"the claim info cannot be shown to others: {error.message}", "$.info") from None
    return info
