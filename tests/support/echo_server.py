"""An echo over exactly the frame and socket classes of the service, for conformance suites:
`python -m tests.support.echo_server PORT [--max-frame-bytes N] [--max-fragments N]`, on 127.0.0.1, any path."""

import argparse
import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

from service.transports.frames import BINARY, TEXT, frame
from service.transports.handover import take_over
from service.transports.http_guard import GuardedHttpProtocol
from service.transports.live_socket import LiveSocket
from service.transports.outbox import Turn
from service.transports.socket_rules import SocketRules

Message = MutableMapping[str, Any]


class Echo:
    """A SocketHandler that sends each message back as it came."""

    def __init__(self, live_socket: LiveSocket) -> None:
        self.live_socket = live_socket

    def receive_message(self, payload: bytes, is_text: bool) -> None:
        self.live_socket.send(frame(payload, TEXT if is_text else BINARY))

    def closing_frame(self, code: int, reason: str) -> bytes:
        return b""

    def connection_lost(self, code: int | None) -> None:
        pass


def echo_app(rules: SocketRules) -> Callable[..., Awaitable[None]]:
    turns: list[Turn] = []  # the one of the loop, made when there is one

    async def app(scope: Message, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
        if scope["type"] != "websocket":
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        if not turns:
            turns.append(Turn(asyncio.get_running_loop()))

        def make_socket(transport: asyncio.Transport) -> LiveSocket:
            live_socket = LiveSocket(transport, turns[0], rules, binary=False)
            live_socket.handler = Echo(live_socket)
            return live_socket

        await receive()
        take_over(scope, make_socket)
        await send({"type": "websocket.accept"})

    return app


def echo_config(rules: SocketRules, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        echo_app(rules),
        port=port,
        ws="websockets-sansio",
        http=GuardedHttpProtocol,
        lifespan="off",
        log_level="warning",
        ws_per_message_deflate=False,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--max-frame-bytes", type=int, default=SocketRules().max_frame_bytes)
    parser.add_argument("--max-fragments", type=int, default=SocketRules().max_fragments)
    arguments = parser.parse_args()
    rules = SocketRules(max_frame_bytes=arguments.max_frame_bytes, max_fragments=arguments.max_fragments)
    # An echo of the largest message must fit the outbox.
    rules.outbox_max_bytes = max(rules.outbox_max_bytes, 4 * rules.max_frame_bytes)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(echo_config(rules, arguments.port)).run()


if __name__ == "__main__":
    main()
