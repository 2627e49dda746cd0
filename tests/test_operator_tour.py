"""The operator's tour in the docs runs as it stands."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.conftest import running_server
from tests.api.rest import Server

ROOT = Path(__file__).parent.parent
TOUR = ROOT / "docs" / "operator-tour.sh"
BIN = Path(sys.executable).parent


@pytest.fixture
def fresh() -> Iterator[Server]:
    """A node that was never started before."""
    with running_server() as server:
        yield server


def test_the_tour_takes_a_new_operator_all_the_way(fresh: Server) -> None:
    environment = os.environ | {
        "URL": fresh.address,
        "ROOMCAST_DATA_DIR": str(fresh.data_dir),
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }
    done = subprocess.run(["sh", str(TOUR)], env=environment, capture_output=True, check=False, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall("^== (.*)$", done.stderr, re.MULTILINE) == re.findall(
        '^step "(.*)"$', TOUR.read_text(), re.MULTILINE
    )
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    (usage,) = [answer["items"] for answer in answers if "peak_connections" in str(answer)]
    assert sum(point["messages_in"]["http"] for point in usage) == 4
    assert sum(point["deliveries"] for point in usage) == 4
    assert max(point["peak_connections"] for point in usage) in (1, 2)  # as each second found them
    (audit,) = [answer["items"] for answer in answers if "actor_kind" in str(answer)]
    assert [entry["action"] for entry in audit] == ["tenant.resume", "tenant.suspend", "api_key.revoke"]
    assert answers[-1]["state"] == "deleting"


def test_the_guide_names_commands_that_exist() -> None:
    guide = (ROOT / "docs" / "operator.md").read_text()
    for command in set(re.findall(r"roomcast ([a-z-]+ [a-z]+) ", guide)):
        done = subprocess.run([str(BIN / "roomcast"), *command.split(), "--help"], capture_output=True, check=False)
        assert done.returncode == 0, command
