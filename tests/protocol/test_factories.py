"""Structs made by polyfactory: whatever fits a Struct's types can be sent and is read back the same."""

from typing import Any, get_args

import msgspec
import pytest
from polyfactory.factories.msgspec_factory import MsgspecFactory

from service.protocol.codec import encode_event
from service.protocol.events import Event, WebSocketEvent

SEED = 20261124


class EventFactory(MsgspecFactory[Event]):
    """Random events. Raw holds JSON; UNSET stays away."""

    __is_base_factory__ = True
    __random_seed__ = SEED

    @classmethod
    def get_provider_map(cls) -> dict[Any, Any]:
        return {
            **super().get_provider_map(),
            msgspec.Raw: lambda: msgspec.Raw(msgspec.json.encode({"n": cls.__random__.randrange(10**6)})),
            msgspec.UnsetType: lambda: msgspec.UNSET,
        }


@pytest.mark.parametrize("event_type", get_args(WebSocketEvent), ids=lambda found: found.__name__)
@pytest.mark.parametrize("binary", [False, True], ids=["json", "messagepack"])
def test_any_event_that_fits_its_types_is_read_back_the_same(event_type: type[Event], binary: bool) -> None:
    factory = EventFactory.create_factory(event_type)
    decoder: Any = msgspec.msgpack if binary else msgspec.json
    for event in factory.batch(20):
        payload = encode_event(event, binary)
        again = decoder.decode(payload, type=event_type)
        assert encode_event_again(again, binary) == msgspec.json.decode(msgspec.json.encode(event))


def encode_event_again(event: Event, binary: bool) -> Any:
    """An event as plain JSON values; what MessagePack's Raw holds is MessagePack."""
    if not binary:
        return msgspec.json.decode(msgspec.json.encode(event))
    return msgspec.msgpack.decode(msgspec.msgpack.encode(event))
