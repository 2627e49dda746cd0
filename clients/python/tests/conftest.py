from collections.abc import AsyncIterator, Iterator

import pytest

from roomcast_client import Server
from stage import Stage


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """A node that faults happen to; whoever orders one leaves it as it was."""
    stage = Stage()
    yield stage
    stage.stop()


@pytest.fixture
async def server(stage: Stage) -> AsyncIterator[Server]:
    """The tenant's own server."""
    async with Server(stage.api, stage.api_key) as server:
        yield server
