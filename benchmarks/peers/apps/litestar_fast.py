"""Litestar's ChannelsPlugin, as it advises for speed: a bounded backlog, messages handed on undecoded, msgspec. Run
with uvloop, httptools and without compression."""

import os

import msgspec
from litestar import Litestar, WebSocket, websocket
from litestar.channels import ChannelsPlugin
from litestar.channels.backends.redis import RedisChannelsPubSubBackend
from litestar.exceptions import WebSocketDisconnect
from redis.asyncio import Redis

backend = RedisChannelsPubSubBackend(
    redis=Redis.from_url(os.environ["REDIS_URL"], protocol=2), stream_sleep_no_subscriptions=1
)
plugin = ChannelsPlugin(
    backend=backend,
    arbitrary_channels_allowed=True,
    subscriber_max_backlog=10_000,
    subscriber_backlog_strategy="backoff",
)
decode = msgspec.json.Decoder().decode


def message(command: dict) -> dict:
    return {"type": "message", "room": command["room"], "data": command["data"]}


@websocket("/ws")
async def handler(socket: WebSocket, channels: ChannelsPlugin) -> None:
    await socket.accept()
    try:
        command = decode(await socket.receive_text())
        while command["type"] != "join":
            channels.publish(message(command), command["room"])
            command = decode(await socket.receive_text())
        async with channels.start_subscription([command["room"]]) as subscriber:
            await socket.send_text('{"type":"joined"}')
            async with subscriber.run_in_background(lambda data: socket.send_data(data, "text")):
                while True:
                    sent = decode(await socket.receive_text())
                    channels.publish(message(sent), sent["room"])
    except WebSocketDisconnect:
        pass


app = Litestar([handler], plugins=[plugin], openapi_config=None, logging_config=None)
