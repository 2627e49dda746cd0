"""REST as a tenant's server speaks it, beside the sockets of one event loop."""

from types import TracebackType
from typing import Any

import httpx


class Rest:
    """Requests to one node with one bearer."""

    def __init__(self, address: str, bearer: str) -> None:
        self._client = httpx.AsyncClient(base_url=address, timeout=10, headers={"Authorization": f"Bearer {bearer}"})

    async def __aenter__(self) -> "Rest":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    async def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """One request."""
        return await self._client.request(method, path, json=body)

    async def ask_raw(self, method: str, path: str, body: bytes) -> httpx.Response:
        """One request with a body as it is, said to be JSON."""
        headers = {"Content-Type": "application/json"}
        return await self._client.request(method, path, content=body, headers=headers)

    async def get(self, path: str) -> Any:
        """The JSON of a GET that succeeds."""
        answer = await self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def publish(self, room: str, data: Any, **fields: Any) -> Any:
        """The answer to a message that is published."""
        answer = await self.ask("POST", f"/v1/rooms/{room}/messages", {"data": data, **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def command(self, kind: str, **fields: Any) -> Any:
        """The reply event to a user's command."""
        answer = await self.ask("POST", "/v1/commands", {"type": kind, **fields})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def refused(self, status: int, code: str, method: str, path: str, body: Any = None) -> Any:
        """The problem of a request that is refused."""
        answer = await self.ask(method, path, body)
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        problem = answer.json()
        assert (answer.status_code, problem["type"]) == (status, f"urn:roomcast:error:{code}"), problem
        return problem
