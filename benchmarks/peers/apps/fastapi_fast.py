"""FastAPI and redis-py, as they advise for speed: hiredis, and messages encoded once and sent as text, one after the
other (a `gather` makes a task of each send, and costs more). Run with uvloop, httptools and without compression."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgspec
import redis.asyncio as redis
from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect

client = redis.from_url(os.environ["REDIS_URL"], protocol=2)
rooms: dict[str, set[WebSocket]] = {}
decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode


async def send(websocket: WebSocket, text: str) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):
        await websocket.send_text(text)


async def listen() -> None:
    async with client.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.psubscribe("room:*")
        async for message in pubsub.listen():
            text = message["data"].decode()
            for websocket in tuple(rooms.get(message["channel"][5:].decode(), ())):
                await send(websocket, text)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    task = asyncio.create_task(listen())
    yield
    task.cancel()


app = FastAPI(lifespan=lifespan, openapi_url=None)


@app.websocket("/ws")
async def endpoint(websocket: WebSocket) -> None:
    await websocket.accept()
    joined: set[str] = set()
    try:
        while True:
            command = decode(await websocket.receive_text())
            room = command["room"]
            if command["type"] == "join":
                rooms.setdefault(room, set()).add(websocket)
                joined.add(room)
                await websocket.send_text(f'{{"type":"joined","room":"{room}"}}')
            else:
                await client.publish("room:" + room, encode({"type": "message", "room": room, "data": command["data"]}))
    except WebSocketDisconnect:
        for room in joined:
            rooms[room].discard(websocket)


@app.post("/rooms/{room}/messages")
async def publish(room: str, request: Request) -> Response:
    message = decode(await request.body())
    receivers = await client.publish("room:" + room, encode({"type": "message", "room": room, "data": message["data"]}))
    return Response(encode({"receivers": receivers}), 201, media_type="application/json")


@app.get("/counts")
async def counts() -> Response:
    visits = int(await client.get("visits") or 0)
    total = sum(map(len, rooms.values()))
    return Response(
        encode({"connections": total, "rooms": len(rooms), "visits": visits}), media_type="application/json"
    )
