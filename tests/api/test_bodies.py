import socket
from collections.abc import Iterator

import httpx
import pytest

from service.tenants.limits import Limits
from tests.api.conftest import make_tenant
from tests.api.rest import Rest, Server, Tenant, problem_of

ROOM = "/v1/rooms/bodies/messages"


@pytest.mark.provokes("error:malformed")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"data":"\xff"}',
        b'{"data":NaN}',
        b'{"data":1}{}',
        b'{"data":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    ],
)
@pytest.mark.parametrize("path", [ROOM, "/v1/users/u/messages"])
def test_what_is_no_json_is_malformed(rest: Rest, path: str, body: bytes) -> None:
    rest.refused("malformed", "POST", path, body)


@pytest.mark.provokes("error:invalid")
@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"data":1e999}', "$.data"),
        (b'{"data":"\\udc00"}', "$.data"),
        (b'{"data":99999999999999999999}', "$.data"),
        (b'{"data":1,"unknown":1}', "$.unknown"),
        (b'{"data":1,"name":"a\\u0000"}', "$.name"),
        (b'{"name":"x"}', "$.data"),
        (b'"text"', "$"),
    ],
)
def test_what_does_not_fit_is_invalid(rest: Rest, body: bytes, path: str) -> None:
    assert rest.refused("invalid", "POST", ROOM, body).path == path
    assert rest.refused("invalid", "POST", "/v1/users/u/messages", body).path == path


@pytest.mark.parametrize("content_type", ["text/plain", "application/msgpack", "application/json; charset=latin-1", ""])
def test_a_body_says_that_it_is_json(rest: Rest, content_type: str) -> None:
    assert "application/json" in rest.refused("invalid", "POST", ROOM, {"data": 1}, Content_Type=content_type).detail


def test_json_in_utf_8_may_say_so(rest: Rest) -> None:
    answer = rest.ask("POST", ROOM, {"data": 1}, Content_Type="Application/JSON; charset=UTF-8")
    assert answer.status_code == 201


@pytest.mark.provokes("error:too_large", "limit:max_frame_bytes", "limit:max_message_bytes")
def test_sizes_are_held_and_named(server: Server) -> None:
    tenant = make_tenant(server, "small", Limits(max_message_bytes=100))
    with Rest(server, tenant.api_key) as client:
        fits = b'{"data":"' + b"x" * 98 + b'"}'
        assert client.ask("POST", ROOM, fits).status_code == 201
        problem = client.refused("too_large", "POST", ROOM, b'{"data":"' + b"x" * 99 + b'"}')
        assert (problem.limit, problem.scope, problem.path) == ("max_message_bytes", "tenant", "$.data")
        assert client.refused("too_large", "POST", ROOM, b" " * 8_292 + b"{").limit == "max_frame_bytes"
        client.refused("malformed", "POST", ROOM, b" " * 8_291 + b"{")


def test_a_batch_has_its_own_limit_of_8_mib(rest: Rest) -> None:
    assert rest.refused("too_large", "POST", "/v1/messages", b" " * (8 * 1024 * 1024 + 1)).limit == "max_frame_bytes"
    rest.refused("malformed", "POST", "/v1/messages", b" " * (8 * 1024 * 1024))


def test_a_body_without_a_length_is_cut_off_at_the_limit(server: Server, acme: Tenant) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 200 * 1024 * 1024:
            sent += 65_536
            yield b" " * 65_536

    headers = {"Authorization": f"Bearer {acme.api_key}", "Content-Type": "application/json"}
    try:
        answer = httpx.post(server.address + ROOM, content=endless(), headers=headers, timeout=10)
    except httpx.WriteError:
        pass  # the server closed while we were still sending
    else:
        problem_of(answer, "too_large")
    assert sent < 100 * 1024 * 1024


def test_a_declared_length_is_refused_before_anything_is_sent(server: Server, acme: Tenant) -> None:
    host, port = server.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(
            f"POST {ROOM} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {acme.api_key}\r\n"
            "Content-Type: application/json\r\nContent-Length: 999999999999999999999\r\n\r\n".encode()
        )
        status = connection.recv(65_536).split(b"\r\n")[0]
    assert status.split()[1] in (b"413", b"400")  # httptools itself refuses what is no 64-bit length


def test_refusals_repeat_nothing_of_the_body(rest: Rest) -> None:
    canary = "canary-5dd41"
    for body in (
        {"data": canary, canary: 1},
        {"data": 1, "name": [canary]},
        {"data": 1, "key": canary * 20},
        {"data": 1, "exclude": [canary]},
    ):
        assert canary not in rest.ask("POST", ROOM, body).text.replace(f"$.{canary}", "")
