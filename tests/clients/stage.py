"""What the clients' suites play on: Valkey, a node, a network in between that does what it is told.

`python -m tests.clients.stage` prints one line of JSON, {"url", "api", "control", "tenant", "api_key"}, and ends with
its standard input. `url` goes through the network, `api` straight to the node; both stay the same over restarts.
Orders are POSTs of JSON to `control` + a path of `ORDERS`; each answers with JSON when it is done.
"""

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from service.preparation import open_storage
from tests.clients.network import Network
from tests.support.fixtures import Cluster
from tests.support.rest_client import Rest
from tests.support.tenants import Tenant, make_tenant

TENANT: Final = "stage"
OUTBOX_BYTES: Final = 65_536  # so that a stalled socket is a slow consumer after a few messages

Order = Callable[..., Awaitable[Any]]


class Stage:
    """The orders, by their paths; what they take stands in clients/vectors/README.md."""

    def __init__(self, cluster: Cluster, network: Network, tenant: Tenant, api: str) -> None:
        self._cluster = cluster
        self._network = network
        self._tenant = tenant
        self._rest = Rest(api, tenant.api_key)
        self._node = cluster.nodes[0]

    async def token(self, user: str = "alice", ttl_seconds: float = 3600, **claims: Any) -> Any:
        """A token with all rights, unless `rooms`, `join`, `send`, `info` or `jti` say otherwise."""
        return {"token": self._tenant.token(user, ttl_seconds=ttl_seconds, **claims)}

    async def restart(self, how: str = "restart") -> Any:
        """The node ends as for a restart (1012), for good (`leave`: 1001), or dies (`kill`), and starts again."""
        ending = {"restart": self._node.hang_up, "leave": self._node.terminate, "kill": self._node.kill}[how]
        ending()
        if how != "kill":
            await asyncio.to_thread(self._node.ended)
        self._node.start()
        await asyncio.to_thread(self._node.wait)
        await self._cluster.settles()
        return {}

    async def cut(self, down_seconds: float = 0.0) -> Any:
        """Drop the clients' connections without a close; refuse new ones for so long."""
        return {"connections": self._network.cut(down_seconds)}

    async def silence(self, seconds: float) -> Any:
        """The clients' bytes go nowhere for so long; then what lost some is cut."""
        self._network.silence(seconds)
        return {}

    async def stall(self, seconds: float) -> Any:
        """Clients take nothing from the node for so long, so that it closes them with 4450 if much is published."""
        self._network.stall(seconds)
        return {}

    async def lose_answers(self, count: int = 1, of: str = "publish") -> Any:
        """So many commands of this type pass, their answers are lost, then that connection is cut."""
        self._network.lose_answers(count, of)
        return {}

    async def revoke(self) -> Any:
        """The tokens' signing key is revoked; from now on /token signs with a new one."""
        made = (await self._rest.ask("POST", "/v1/signing-keys", {"algorithm": "HS256"})).raise_for_status().json()
        (await self._rest.ask("DELETE", f"/v1/signing-keys/{self._tenant.kid}")).raise_for_status()
        self._tenant = self._tenant._replace(kid=made["kid"], secret=made["secret"])
        return {"kid": made["kid"]}

    async def empty(self) -> Any:
        """FLUSHALL: all history is lost."""
        await asyncio.to_thread(self._cluster.valkey.client.flushall)
        await self._cluster.settles()
        return {}

    async def limits(self, **limits: int | None) -> Any:
        """The tenant's limits, as max_history_messages; those not named are none (rates) or the default."""
        await self._tenant.limit(**limits)
        return {}

    async def room_type(self, name: str, **rules: Any) -> Any:
        """PUT /v1/room-types/{name}."""
        return await self._put(f"/v1/room-types/{name}", rules)

    async def contract(self, *, breaking: bool = True, **contract: Any) -> Any:
        """PUT /v1/contract; each test brings its own, so breaks are meant."""
        return await self._put(f"/v1/contract?breaking={str(breaking).lower()}", contract)

    async def suspend(self) -> Any:
        """The tenant is suspended (4403)."""
        return await self._operate("suspend")

    async def resume(self) -> Any:
        """The tenant is active again."""
        return await self._operate("resume")

    async def _operate(self, verb: str) -> Any:
        token = self._cluster.settings.operator_token_file.read_text().strip()
        async with Rest(self._node.address, token) as operator:
            answer = await operator.ask("POST", f"/v1/tenants/{self._tenant.name}/{verb}")
            return answer.raise_for_status().json()

    async def _put(self, path: str, body: Any) -> Any:
        answer = await self._rest.ask("PUT", path, body)
        return {"status": answer.status_code, "body": answer.json()}


ORDERS: Final = frozenset(name for name in vars(Stage) if not name.startswith("_"))


async def answer_control(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request a connection: POST /<order> with a JSON object; 200 with JSON, or 400 with what went wrong."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.split("\r\n")
    sizes = [line.partition(":")[2] for line in lines if line.lower().startswith("content-length:")]
    body = await reader.readexactly(int(sizes[0]) if sizes else 0)
    status, answer = "200 OK", None
    try:
        name = first.split()[1].strip("/")
        if name not in ORDERS:
            raise LookupError(f"no order {name}: {', '.join(sorted(ORDERS))}")
        answer = await getattr(stage, name)(**(msgspec.json.decode(body) if body else {}))
    except Exception as error:
        status, answer = "400 Bad Request", {"error": f"{type(error).__name__}: {error}"}
    text = msgspec.json.encode(answer)
    fields = "Content-Type: application/json\r\nAccess-Control-Allow-Origin: *\r\nConnection: close"
    writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\n{fields}\r\n\r\n".encode() + text)
    await writer.drain()
    writer.close()


async def play(cluster: Cluster) -> None:
    """Serve until the standard input ends."""
    node = cluster.start_node()
    await asyncio.to_thread(node.wait)
    network = Network(node.port)
    await network.start()
    storage = await open_storage(cluster.settings)
    tenant = await make_tenant(storage, TENANT)
    stage = Stage(cluster, network, tenant, node.address)
    control = await asyncio.start_server(lambda *ends: answer_control(stage, *ends), "127.0.0.1", 0)
    first_line = {
        "url": f"ws://127.0.0.1:{network.port}/v1/connect",
        "api": node.address,
        "control": f"http://127.0.0.1:{control.sockets[0].getsockname()[1]}",
        "tenant": tenant.name,
        "api_key": tenant.api_key,
    }
    print(msgspec.json.encode(first_line).decode(), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    control.close()
    await network.stop()
    await storage.close()


def main() -> None:
    """Make the stage in a folder of its own, which goes with it."""
    with tempfile.TemporaryDirectory(prefix="rcs", dir="/tmp") as folder:  # a socket's path ends at 107 bytes
        logs = Path(folder) / "logs"
        place = Path(folder) / "c"
        logs.mkdir()
        place.mkdir()
        cluster = Cluster(place, logs, outbox_max_bytes=OUTBOX_BYTES, drain_seconds=0.5, stop_timeout_seconds=1)
        try:
            asyncio.run(play(cluster))
        finally:
            cluster.stop()


if __name__ == "__main__":
    main()
