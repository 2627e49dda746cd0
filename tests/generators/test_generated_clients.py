"""Clients that other people's generators write from our documents speak to a live node: Go and Java."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.api.conftest import make_tenant, running_server

RUN = Path(__file__).parent / "run.sh"
TOOLS = {"go": "go", "java": "mvn"}


@pytest.mark.alone
@pytest.mark.timeout(600)  # the first time its dependencies are fetched
@pytest.mark.parametrize("language", TOOLS)
def test_a_generated_client_asks_reads_problems_and_decodes_every_kind_of_event(language: str) -> None:
    if shutil.which(TOOLS[language]) is None:
        pytest.skip(f"{TOOLS[language]} is not installed")
    with running_server() as server:
        tenant = make_tenant(server, "generators")
        told = {
            "ROOMCAST_ADDRESS": server.address,
            "ROOMCAST_API_KEY": tenant.api_key,
            "ROOMCAST_TOKEN": tenant.token("alice", rooms={"*": ["*"]}),
        }
        done = subprocess.run(
            [str(RUN), language], env={**os.environ, **told}, capture_output=True, text=True, check=False, timeout=590
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{language}: 20 kinds of events" in done.stdout
