"""What travels over REST of a tenant's contract: its changes and its versions."""

from typing import Literal

from service.protocol.resources import Answer


class ContractChange(Answer):
    """One change of a contract: where, what, and whether a client built for the contract before it breaks."""

    path: str
    change: str
    breaking: bool


class ContractAnswer(Answer, kw_only=True):
    """The version that is in force now, and all that changed; with `dry_run` what would."""

    version: int
    changes: list[ContractChange]


class ContractVersion(Answer, kw_only=True):
    """One version of a contract: since when, and who made it."""

    version: int
    at_ms: int
    actor_kind: Literal["operator", "api_key", "command_line", "system"]
    actor_id: str


class ContractVersionPage(Answer, kw_only=True):
    """One page of the versions that are kept, the newest first."""

    items: list[ContractVersion]
    next_cursor: str | None = None
