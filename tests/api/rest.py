"""How tests of REST speak: requests of a tenant's server, users' tokens and sockets, and problems, looked at."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import httpx
import msgspec
from joserfc import jwt
from joserfc.jwk import OctKey
from websockets.sync.client import ClientConnection, connect

from service.protocol.errors import ERROR_KINDS, Problem


class Server(NamedTuple):
    """A running `roomcast serve`."""

    address: str
    data_dir: Path
    log: Path
    pid: int


class Tenant(NamedTuple):
    """A tenant with its secrets."""

    id: str
    name: str
    api_key: str
    kid: str
    secret: str
    scoped_keys: dict[str, str]  # a key for each scope alone

    def token(self, user: str, **claims: Any) -> str:
        """A token as the tenant's own server signs it."""
        now = int(time.time())
        header = {"alg": "HS256", "kid": self.kid}
        claims = {"tid": self.name, "sub": user, "iat": now, "exp": now + 600, **claims}
        return jwt.encode(header, claims, OctKey.import_key(self.secret))


class Rest:
    """REST with one bearer; paths are sent as they are written."""

    def __init__(self, server: Server, bearer: str | None) -> None:
        self._client = httpx.Client(base_url=server.address, timeout=10)
        self._headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}

    def __enter__(self) -> "Rest":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        """One request; a body that is bytes goes as it is, any other as JSON."""
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = self._headers | ({} if content is None else {"Content-Type": "application/json"})
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self._client.request(method, path, content=content, headers=sent)

    def gets(self, path: str) -> Any:
        """The JSON of a GET that succeeds."""
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def publishes(self, room: str, data: object = "hello", **fields: object) -> Any:
        """The answer to a message that is published."""
        answer = self.ask("POST", f"/v1/rooms/{room}/messages", {"data": data, **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()

    def refused(self, code: str, method: str, path: str, body: object = None, **headers: str) -> Problem:
        """The problem of a request that is refused with `code`."""
        return problem_of(self.ask(method, path, body, **headers), code)


def problem_of(answer: httpx.Response, code: str) -> Problem:
    """A refusal's body, after a look at all that RFC 9457 and PROTOCOL.md promise of it."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = msgspec.json.decode(answer.content, type=Problem)
    assert problem.type == f"urn:roomcast:error:{code}", answer.text
    assert answer.status_code == problem.status == next(k.status for c, k in ERROR_KINDS.items() if c == code)
    assert problem.title
    assert problem.detail
    return problem


def socket_of(server: Server, token: str) -> ClientConnection:
    """A live socket of a user; the caller closes it."""
    address = server.address.replace("http", "ws", 1) + "/v1/connect"
    return connect(address, additional_headers={"Authorization": f"Bearer {token}"}, compression=None)


def expects(socket: ClientConnection, kind: str) -> Any:
    """The next event, which is of this type."""
    event = json.loads(socket.recv(timeout=5))
    assert event["type"] == kind, event
    return event


def within(seconds: float, read: Callable[[], Any], wanted: Any) -> None:
    """Counts are exact within a time: ask until it is over."""
    deadline = time.monotonic() + seconds
    while (found := read()) != wanted:
        assert time.monotonic() < deadline, f"{found} is not {wanted}"
