"""A tenant's contract as types: what `roomcast generate python` writes is made of these."""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

MessageT = TypeVar("MessageT")
SignalT = TypeVar("SignalT")
StateT = TypeVar("StateT")


class Other(msgspec.Struct, frozen=True):
    """What is not of the contract: data of another name, or of an older version that does not fit any more.

    `publish(Other(value), name=…)` sends it so, where the room type allows additional names.
    """

    value: Any


class Shapes:
    """Types by message name, both ways. Decodes without ever failing: what does not fit is an `Other`."""

    def __init__(self, types: Mapping[str, Any]) -> None:
        self._types = dict(types)
        self._names: dict[Any, str] = {}
        for name, kind in types.items():  # of two names with one class, none is the class' own
            self._names[kind] = "" if kind in self._names else name
        self._decoders = {name: msgspec.json.Decoder(kind) for name, kind in types.items()}

    def decode(self, name: str | UnsetType, data: Raw) -> Any:
        """The value that came under this name."""
        decoder = self._decoders.get(name) if isinstance(name, str) else None
        if decoder is not None:
            try:
                return decoder.decode(data)
            except msgspec.ValidationError:
                pass
        return Other(msgspec.json.decode(data))

    def encode(self, value: Any, name: str | None) -> tuple[str | UnsetType, Raw]:
        """The name and the JSON of a value. Raises ValueError if it has no name, TypeError if it is not the name's."""
        if isinstance(value, Other):
            return (UNSET if name is None else name), encode(value.value)
        name = name or self._names.get(type(value))
        if not name:
            raise ValueError(f"which of the contract's names a {type(value).__name__} goes by: pass name=")
        kind = self._types.get(name)
        if kind is None:
            raise ValueError(f"the contract has no {name}: pass Other(value), if the room allows additional names")
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and not isinstance(value, kind):
            raise TypeError(f"{name} is a {kind.__name__}, not a {type(value).__name__}")
        return name, encode(value)


class RoomContract(Generic[MessageT, SignalT, StateT]):
    """What is said in the rooms of one type: `messages` and `signals` by name, the type of members' `state`.

    pattern: a room's name, or the beginning of one and a final `*`.
    additional: whether the server takes other names, too.
    """

    def __init__(
        self,
        *,
        pattern: str,
        messages: Mapping[str, Any] | None = None,
        signals: Mapping[str, Any] | None = None,
        state: Any = Any,
        additional: bool = True,
    ) -> None:
        self.pattern = pattern
        self.messages = Shapes(messages or {})
        self.signals = Shapes(signals or {})
        self.additional = additional
        self._state = msgspec.json.Decoder(state)

    def matches(self, room: str) -> bool:
        """Whether a room of this name is of this type, as far as the pattern says."""
        return room.startswith(self.pattern[:-1]) if self.pattern.endswith("*") else room == self.pattern

    def decode_state(self, state: Raw) -> StateT | UnsetType:
        """A member's state; UNSET if it does not fit, as one that was set under another contract."""
        try:
            return self._state.decode(state)  # type: ignore[no-any-return]
        except msgspec.ValidationError:
            return UNSET


class Contract:
    """All of a tenant's room types, in one version."""

    def __init__(self, *, version: int, rooms: tuple[RoomContract[Any, Any, Any], ...]) -> None:
        self.version = version
        self.rooms = rooms

    def of(self, room: str) -> RoomContract[Any, Any, Any] | None:
        """The type of a room by its name: the exact pattern, else the longest prefix."""
        found = [kind for kind in self.rooms if kind.matches(room)]
        return max(found, key=lambda kind: (not kind.pattern.endswith("*"), len(kind.pattern)), default=None)


class Untyped(Shapes):
    """Plain values under any name."""

    def __init__(self) -> None:
        super().__init__({})

    def decode(self, name: str | UnsetType, data: Raw) -> Any:
        """The plain value."""
        return msgspec.json.decode(data)

    def encode(self, value: Any, name: str | None) -> tuple[str | UnsetType, Raw]:
        """The name, if there is one, and the JSON."""
        return (UNSET if name is None else name), encode(value.value if isinstance(value, Other) else value)


def untyped() -> RoomContract[Any, Any, Any]:
    """What a room without a contract has."""
    contract: RoomContract[Any, Any, Any] = RoomContract(pattern="*")
    contract.messages = contract.signals = Untyped()
    return contract


def encode(value: Any) -> Raw:
    """JSON of a value. Raises TypeError if msgspec knows no JSON for it."""
    return Raw(msgspec.json.encode(value))
