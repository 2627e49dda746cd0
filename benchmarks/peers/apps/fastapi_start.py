"""FastAPI and redis-py, as their documentation starts people off: "Handling disconnections and multiple clients" of
the one, the `listen` loop of the other's asyncio examples. The environment has REDIS_URL."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio as redis
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from pydantic import BaseModel

client = redis.from_url(os.environ["REDIS_URL"])


class ConnectionManager:
    def __init__(self) -> None:
        self.rooms: dict[str, list[WebSocket]] = {}

    def join(self, room: str, websocket: WebSocket) -> None:
        self.rooms.setdefault(room, []).append(websocket)

    def disconnect(self, websocket: WebSocket) -> None:
        for connections in self.rooms.values():
            if websocket in connections:
                connections.remove(websocket)

    async def broadcast(self, room: str, message: dict) -> None:
        for connection in self.rooms.get(room, []):
            await connection.send_json(message)


manager = ConnectionManager()


async def listen() -> None:
    async with client.pubsub() as pubsub:
        await pubsub.psubscribe("room:*")
        async for message in pubsub.listen():
            if message["type"] == "pmessage":
                data = json.loads(message["data"])
                await manager.broadcast(data["room"], data)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    task = asyncio.create_task(listen())
    yield
    task.cancel()


app = FastAPI(lifespan=lifespan)


@app.websocket("/ws")
async def endpoint(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            command = await websocket.receive_json()
            if command["type"] == "join":
                manager.join(command["room"], websocket)
                await websocket.send_json({"type": "joined", "room": command["room"]})
            else:
                message = {"type": "message", "room": command["room"], "data": command["data"]}
                await client.publish("room:" + command["room"], json.dumps(message))
    except WebSocketDisconnect:
        manager.disconnect(websocket)


class Message(BaseModel):
    data: dict


@app.post("/rooms/{room}/messages", status_code=201)
async def publish(room: str, message: Message) -> dict:
    text = json.dumps({"type": "message", "room": room, "data": message.data})
    return {"receivers": await client.publish("room:" + room, text)}


@app.get("/counts")
async def counts() -> dict:
    rooms = [connections for connections in manager.rooms.values() if connections]
    return {"connections": sum(map(len, rooms)), "rooms": len(rooms), "visits": int(await client.get("visits") or 0)}
