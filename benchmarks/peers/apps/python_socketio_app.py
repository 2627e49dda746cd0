"""python-socketio. As its documentation starts people off: AsyncServer and its default manager, in memory; over Redis
with REDIS_URL ("Using a message queue"). With FAST=1 as it advises for speed: WebSocket alone, no compression."""

import os
from typing import Any

import socketio

redis_url = os.environ.get("REDIS_URL")
options: dict[str, Any] = {"client_manager": socketio.AsyncRedisManager(redis_url)} if redis_url else {}
if os.environ.get("FAST"):
    options |= {"transports": ["websocket"], "http_compression": False, "async_handlers": False}
server = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*", **options)


@server.on("join")
async def join(sid: str, room: str) -> None:
    await server.enter_room(sid, room)
    await server.emit("joined", room, to=sid)


@server.on("publish")
async def publish(_sid: str, room: str, data: Any) -> None:
    await server.emit("message", data, room=room)


app = socketio.ASGIApp(server)
