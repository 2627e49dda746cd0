"""What the supervisor and a node process say to each other on the control socket: a line of JSON each."""

from collections.abc import Mapping
from typing import Literal

import msgspec


class Order(msgspec.Struct, frozen=True):
    """What the supervisor asks; each order is answered by an `Answer` when it is carried out."""

    task: Literal["prepare", "prepare demo", "serve"]
    variables: Mapping[str, str]  # the settings, as environment variables


class Demo(msgspec.Struct):
    """What one needs to try the demo tenant."""

    user: str
    token: str
    api_key: str
    keys_file: str


class Answer(msgspec.Struct, omit_defaults=True):
    """What came of an order: a sentence when it failed, else the demo tenant if it was to be made ready."""

    error: str | None = None
    demo: Demo | None = None
