import msgspec
import pytest

from service.protocol.errors import CloseCode
from service.protocol.events import Closing
from service.rooms.connection import RETURN_SPREAD_MS, Connection, new_entry
from tests.rooms.surroundings import Ear


def closing(connection: Connection, code: int, **options: bool) -> Closing:
    return msgspec.json.decode(connection.closing_frame(code, "why", **options)[2:], type=Closing)


@pytest.fixture
def connection() -> Connection:
    return Connection(Ear(), new_entry("alice", "n1", "192.0.2.1"), max_held_bytes=1)


@pytest.mark.parametrize("code", [CloseCode.GOING_AWAY, CloseCode.RESTART])
def test_clients_of_a_node_that_ends_are_told_to_come_back_at_different_times(
    connection: Connection, code: CloseCode
) -> None:
    told = [closing(connection, code) for _ in range(100)]
    assert all(event.reconnect and event.after_ms < RETURN_SPREAD_MS for event in told)
    assert len({event.after_ms for event in told}) > 50


def test_the_code_says_whether_to_come_back_unless_the_tenants_server_does(connection: Connection) -> None:
    assert not closing(connection, CloseCode.FORBIDDEN).reconnect
    assert closing(connection, CloseCode.SLOW_CONSUMER).reconnect
    assert closing(connection, CloseCode.DISCONNECTED, reconnect=True).reconnect
    assert not closing(connection, CloseCode.DISCONNECTED).reconnect


def test_connection_ids_are_unguessable_and_differ() -> None:
    ids = {new_entry("alice", "n1", "").connection for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(id_) == 22 for id_ in ids)
