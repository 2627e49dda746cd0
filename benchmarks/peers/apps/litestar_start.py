"""Litestar's ChannelsPlugin, as its documentation starts people off: "Websocket subscriptions", over Redis."""

import os

from litestar import Litestar, WebSocket, websocket
from litestar.channels import ChannelsPlugin
from litestar.channels.backends.redis import RedisChannelsPubSubBackend
from litestar.exceptions import WebSocketDisconnect
from redis.asyncio import Redis

backend = RedisChannelsPubSubBackend(redis=Redis.from_url(os.environ["REDIS_URL"]))
plugin = ChannelsPlugin(backend=backend, arbitrary_channels_allowed=True)


@websocket("/ws")
async def handler(socket: WebSocket, channels: ChannelsPlugin) -> None:
    await socket.accept()
    try:
        command = await socket.receive_json()
        while command["type"] != "join":
            channels.publish({"type": "message", "room": command["room"], "data": command["data"]}, command["room"])
            command = await socket.receive_json()
        async with channels.start_subscription([command["room"]]) as subscriber:
            await socket.send_json({"type": "joined", "room": command["room"]})
            async with subscriber.run_in_background(socket.send_text):
                while True:
                    sent = await socket.receive_json()
                    channels.publish({"type": "message", "room": sent["room"], "data": sent["data"]}, sent["room"])
    except WebSocketDisconnect:
        pass


app = Litestar([handler], plugins=[plugin])
