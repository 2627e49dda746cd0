"""A client between its reservation and its socket, while its tenant changes."""

import asyncio
from typing import Any, cast

import pytest

from service.tenants.claims import Grant
from service.tenants.rights import compile_rooms
from service.transports.connect import Arrival
from service.transports.door import Door
from service.transports.outbox import Turn
from tests.rooms.simulated_broker import SimulatedNode, tenant, turns

pytestmark = pytest.mark.anyio


class Written:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def abort(self) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


async def test_a_tenant_suspended_during_a_handshake_gets_no_socket() -> None:
    node = SimulatedNode()
    door = Door(
        Turn(asyncio.get_running_loop()),
        trusted_proxies=(),
        connects_per_second_per_address=None,
        ping_interval_seconds=25,
        pong_timeout_seconds=10,
        outbox_max_bytes=1_000_000,
    )
    entry = node.connect("alice").entry("n1")
    grant = Grant("t1", "alice", "k1", 2**42, None, None, (), False, compile_rooms(b"{}"))
    arrival = Arrival(door, node.tenant_manager, grant, entry, binary=False)
    node.manager(tenant(2, active=False))
    written = Written()
    arrival.make_socket(cast(Any, written))
    await turns()
    assert b'"code":4403' in written.data
    assert b"welcome" not in written.data
