"""The command line as a user runs it: its own process, its output, its exit code."""

import os
import subprocess
import sys
from typing import Final

from service.settings import PREFIX

ENVIRONMENT: Final = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
ROOMCAST: Final = (sys.executable, "-m", "service")


def roomcast(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """What comes of `roomcast` with these arguments."""
    return subprocess.run(
        [*ROOMCAST, *arguments],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        env={**ENVIRONMENT, **variables},
    )


def printed(*arguments: str, **variables: str) -> str:
    """What a command that succeeds prints."""
    done = roomcast(*arguments, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def refused(*arguments: str, code: int = 1, **variables: str) -> str:
    """The one line that a command says when it fails."""
    done = roomcast(*arguments, **variables)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("Error: ")
    assert done.stderr.endswith("\n")
    assert done.stderr.count("\n") == 1
    return done.stderr.strip()
