"""Django Channels. As its tutorial starts people off: RedisChannelLayer, served by daphne. With CHANNEL_LAYER=pubsub
as channels_redis advises for speed: RedisPubSubChannelLayer, served by uvicorn with uvloop."""

import os

import django
from django.conf import settings

LAYERS = {
    "core": "channels_redis.core.RedisChannelLayer",
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
}
settings.configure(
    DEBUG=False,
    SECRET_KEY="benchmark",  # noqa: S106 - Django does not start without one
    INSTALLED_APPS=["channels"],
    ALLOWED_HOSTS=["*"],
    CHANNEL_LAYERS={
        "default": {
            "BACKEND": LAYERS[os.environ.get("CHANNEL_LAYER", "core")],
            "CONFIG": {"hosts": [os.environ["REDIS_URL"]]},
        }
    },
)
django.setup()

from channels.generic.websocket import AsyncJsonWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.urls import path  # noqa: E402


class RoomConsumer(AsyncJsonWebsocketConsumer):
    async def receive_json(self, content: dict, **_: object) -> None:
        if content["type"] == "join":
            await self.channel_layer.group_add(content["room"], self.channel_name)
            await self.send_json({"type": "joined", "room": content["room"]})
        else:
            event = {"type": "chat.message", "room": content["room"], "data": content["data"]}
            await self.channel_layer.group_send(content["room"], event)

    async def chat_message(self, event: dict) -> None:
        await self.send_json({"type": "message", "room": event["room"], "data": event["data"]})


app = ProtocolTypeRouter({"http": get_asgi_application(), "websocket": URLRouter([path("ws", RoomConsumer.as_asgi())])})
