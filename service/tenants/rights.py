"""What a token's bearer may do in which room: the claims `rooms` and `join`, compiled once for equal tokens."""

from functools import lru_cache

import msgspec

from service.protocol.identifiers import is_room

VERBS: tuple[str, ...] = ("join", "publish", "signal", "presence", "history")

_BITS = {verb: 1 << place for place, verb in enumerate(VERBS)}
_ALL = (1 << len(VERBS)) - 1
_rooms_decoder = msgspec.json.Decoder(dict[str, list[str]])
_names_decoder = msgspec.json.Decoder(tuple[str, ...])

# Tokens of one app mostly carry the same claims. 512 entries of at most 4 KB text each stay below 10 MB.
_SHARED_CLAIMS = 512
# For each set of claims; a room's name of 200 characters takes 350 bytes with its place, so 512 claims take 12 MB.
_REMEMBERED_ROOMS = 64


class BadClaim(Exception):
    """A claim that verified, and is not what PROTOCOL.md wants; `path` says where (`$.rooms`)."""

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


class RoomRights:
    """Pattern to verbs. The exact name, else the longest prefix, alone counts: rights are never added up."""

    __slots__ = ("_exact", "_found", "_lengths", "_prefixes")

    def __init__(self, exact: dict[str, int], prefixes: dict[str, int]) -> None:
        self._exact = exact
        self._prefixes = prefixes
        self._lengths = tuple(sorted({len(prefix) for prefix in prefixes}, reverse=True))
        # What was asked last: a room's rights are found once for all its messages.
        self._found: dict[str, int] = {}

    def allows(self, room: str, verb: str) -> bool:
        """Whether `verb` (one of VERBS) is allowed in `room`."""
        verbs = self._found.get(room)
        if verbs is None:
            if len(self._found) >= _REMEMBERED_ROOMS:
                self._found.clear()
            verbs = self._found[room] = self._find(room)
        return bool(verbs & _BITS[verb])

    def _find(self, room: str) -> int:
        verbs = self._exact.get(room)
        if verbs is not None:
            return verbs
        for length in self._lengths:
            if length <= len(room) and (verbs := self._prefixes.get(room[:length])) is not None:
                return verbs
        return 0


@lru_cache(maxsize=_SHARED_CLAIMS)
def compile_rooms(claim: bytes) -> RoomRights:
    """The claim `rooms` (JSON) compiled; equal text gives the same object. Raises BadClaim."""
    try:
        patterns = _rooms_decoder.decode(claim)
    except msgspec.MsgspecError:
        raise BadClaim("the claim rooms is no object of pattern to list of verbs", "$.rooms") from None
    exact: dict[str, int] = {}
    prefixes: dict[str, int] = {}
    for pattern, verbs in patterns.items():
        bits = _verb_bits(verbs)
        prefix = pattern.removesuffix("*")
        if prefix == pattern and is_room(pattern):
            exact[pattern] = bits
        elif prefix != pattern and (prefix in ("", ".", "..") or is_room(prefix)):
            prefixes[prefix] = bits
        else:
            raise BadClaim("the claim rooms has a pattern that is no room name or prefix ending in *", "$.rooms")
    return RoomRights(exact, prefixes)


def _verb_bits(verbs: list[str]) -> int:
    bits = 0
    for verb in verbs:
        if verb != "*" and verb not in _BITS:
            raise BadClaim(f"the claim rooms has an unknown verb; the verbs are {', '.join(VERBS)} and *", "$.rooms")
        bits |= _ALL if verb == "*" else _BITS[verb]
    return bits


@lru_cache(maxsize=_SHARED_CLAIMS)
def parse_join(claim: bytes) -> tuple[str, ...]:
    """The rooms of the claim `join` (JSON), each once, in order; equal text gives the same object. Raises BadClaim."""
    try:
        names = _names_decoder.decode(claim)
    except msgspec.MsgspecError:
        raise BadClaim("the claim join is no list of room names", "$.join") from None
    if not all(map(is_room, names)):
        raise BadClaim("the claim join has a text that is no room name", "$.join")
    return tuple(dict.fromkeys(names))
