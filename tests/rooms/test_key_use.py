from collections.abc import Mapping

import pytest

from service.protocol.errors import Unavailable
from service.rooms.key_use import KeyUse
from tests.rooms.simulated_broker import SimulatedBroker, SimulatedNode

pytestmark = pytest.mark.anyio


class Kept:
    """SQL: what was saved, or out of reach."""

    def __init__(self) -> None:
        self.is_away = False
        self.saved: list[tuple[str, dict[str, int], dict[str, int]]] = []

    async def note_used(self, tenant_id: str, signing: Mapping[str, int], api: Mapping[str, int]) -> None:
        if self.is_away:
            raise Unavailable("SQL is out of reach")
        self.saved.append((tenant_id, dict(signing), dict(api)))


async def test_connections_are_counted_under_the_key_of_their_token() -> None:
    broker = SimulatedBroker()
    use = KeyUse("t1", broker.as_broker())
    for kid in ("old", "old", "new"):
        use.connected(kid)
    assert await broker.key_connections("t1") == {"old": 2, "new": 1}
    use.disconnected("old")
    use.disconnected("new")
    assert await broker.key_connections("t1") == {"old": 1}
    assert broker.key_use["t1", "new"] == 0  # told, so that the cluster forgets it


async def test_the_last_use_of_keys_is_saved_once_and_kept_while_sql_is_away() -> None:
    use, kept = KeyUse("t1", SimulatedBroker().as_broker()), Kept()
    assert use.is_saved
    use.note_signing_key("k", 1)
    use.note_signing_key("k", 5)
    use.note_api_key("a", 2)
    kept.is_away = True
    with pytest.raises(Unavailable):
        await use.save(kept)
    assert not use.is_saved
    use.note_api_key("b", 7)
    kept.is_away = False
    await use.save(kept)
    assert kept.saved == [("t1", {"k": 5}, {"a": 2, "b": 7})]
    assert use.is_saved


async def test_a_node_saves_what_its_tenants_used_and_forgets_none_before() -> None:
    node, kept = SimulatedNode(), Kept()
    node.tenant_manager.key_use.note_api_key("a", 2)
    assert not node.tenant_manager.is_empty
    kept.is_away = True
    await node.save_key_use(kept)
    kept.is_away = False
    await node.save_key_use(kept)
    await node.save_key_use(kept)
    assert kept.saved == [("t1", {}, {"a": 2})]
    assert node.tenant_manager.is_empty
