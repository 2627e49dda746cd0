"""What is on its way into a room or to a user, before it has a place there."""

import msgspec

from service.protocol.events import Sender

_encode = msgspec.json.encode


class Author(msgspec.Struct, frozen=True, gc=False):
    """Who sends: a user, by a connection or (None) over HTTP. json: as it stands in `from`, made once for all messages.

    user None: the tenant's server, which is held to no user's part of the tenant's rates.
    """

    user: str | None
    connection: str | None
    json: bytes


def author(user: str, connection: str | None = None) -> Author:
    """A user as author."""
    return Author(user, connection, _encode(Sender(user=user, connection=connection)))


TENANTS_SERVER = Author(None, None, b"null")


class OutgoingMessage(msgspec.Struct, frozen=True, gc=False):
    """What a client or a tenant's server sends: `data` is checked JSON."""

    data: bytes
    name: str | None = None
    author: Author = TENANTS_SERVER

    def body(self) -> bytes:
        """The inside of a JSON object, as it travels between the nodes and is kept."""
        if self.name is None:
            return b'"data":%b,"from":%b' % (self.data, self.author.json)
        return b'"name":%b,"data":%b,"from":%b' % (_encode(self.name), self.data, self.author.json)
