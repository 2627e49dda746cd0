import pytest
from hypothesis import HealthCheck, settings

# Two busy cores make an example slow, and that says nothing about the code.
settings.register_profile("roomcast", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("roomcast")


pytest_plugins = ["tests.support.fixtures"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
