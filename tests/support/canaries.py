"""What must never stand in a log: tokens, keys, secrets and payloads that tests made, and the look for them."""

import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

PAYLOAD: Final = f"canary-{secrets.token_hex(8)}"
_secrets: Final[set[str]] = {PAYLOAD}


def keep_secret(text: str) -> str:
    """Note a text that no log may hold; of a token its signature, which nothing else looks like."""
    _secrets.add(text.rpartition(".")[2])
    return text


def says(value: object = None) -> dict[str, Any]:
    """A payload that is known again in a log."""
    return {"canary": PAYLOAD, "value": value}


def leaks(logs: Iterable[Path]) -> list[str]:
    """Each line of the logs that holds a secret, as `file: line`."""
    return [
        f"{log.name}: {line}"
        for log in logs
        for line in log.read_text(errors="replace").splitlines()
        if any(secret in line for secret in _secrets)
    ]
