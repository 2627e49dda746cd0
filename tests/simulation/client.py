"""A client as a good one is: it keeps its positions, comes back by itself, and asks again for what was refused."""

import random
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec

from service.brokers.broker import ConnectionEntry
from service.commands.dispatch import LiveSession
from service.protocol.errors import CloseCode
from service.tenants.claims import Grant
from service.tenants.rights import compile_rooms
from tests.simulation.clock import VirtualLoop
from tests.simulation.listing import Listing
from tests.simulation.peer import Peer
from tests.simulation.store import Store
from tests.simulation.view import View

_rights = compile_rooms(b'{"*":["*"]}')
_encode = msgspec.json.encode
RETRY_SECONDS: Final = (0.05, 0.3, 0.6)


class Clockwork:
    """No token ends here."""

    def after(self, delay_seconds: float, callback: Callable[[], None]) -> Any:
        """Never called."""
        raise NotImplementedError


class Client:
    """One client of one user. wanted: rooms that it wants to be in, with the fields of its `join`.

    choose_node: a node that takes it, or None. waiting: answers outstanding by room, in the order of the commands.
    """

    def __init__(
        self,
        name: str,
        loop: VirtualLoop,
        chance: random.Random,
        store: Store,
        kept_rooms: dict[str, bool],
        choose_node: Callable[[], Any],
        complain: Callable[[str], None],
    ) -> None:
        self.name = name
        self._loop, self._chance, self._choose_node = loop, chance, choose_node
        self._complain: Callable[[str], None] = lambda text: complain(f"{self.connection}: {text}")
        self.views = {room: View(room, kept, store, self._complain) for room, kept in kept_rooms.items()}
        self.listings = {room: Listing(room, self._complain, self.ask_members) for room in kept_rooms}
        self.wanted: dict[str, dict[str, Any]] = {}
        self.waiting: dict[str, deque[dict[str, Any]]] = {}
        self.refused: list[int] = []  # publishes of which it was told that nothing was stored
        self.peer: Peer | None = None
        self.session: LiveSession | None = None
        self.is_back = True  # it comes back by itself
        self._count = self._ids = 0

    @property
    def connection(self) -> str:
        """The id of the present connection."""
        return f"{self.name}-{self._count:016}"

    # Sockets

    def connect(self) -> None:
        """Connect, and join what is wanted; tried again until a node takes it."""
        if self.peer is not None or not self.is_back:
            return
        node = self._choose_node()
        if node is None:
            self._again(self.connect)
            return
        self._count += 1
        self.waiting.clear()
        entry = ConnectionEntry(self.connection, self.name, node.name, 0, "")
        grant = Grant("t1", self.name, "", 2**53, None, None, (), send=True, rooms=_rights)
        self.peer = peer = Peer(self._loop, self._chance, self)
        peer.is_slow = self._chance.random() < 0.1
        self.session = session = LiveSession(peer, node.tenant_manager, grant, entry, Clockwork(), 600)
        node.tenant_manager.connect(session)
        peer.told_lost = session.connection_lost
        node.peers.append(peer)
        for room in self.wanted:
            self._join(room)

    def closed(self, peer: Peer, code: int | None) -> None:
        """The socket is closed; it comes back unless that was its own wish."""
        if peer is not self.peer:
            return
        if code == CloseCode.INTERNAL:
            self._complain("was closed for an internal error")
        self.peer = self.session = None
        for view in self.views.values():
            view.left()
        for listing in self.listings.values():
            listing.end()
        self._again(self.connect)

    def _again(self, what: Callable[[], None]) -> None:
        self._loop.call_later(self._chance.choice(RETRY_SECONDS), what)

    # Commands

    def say(self, kind: str, room: str, *, answered: bool = True, **fields: Any) -> None:
        """Send a command, if there is a socket."""
        if self.session is None or self.peer is None or not self.peer.is_open or self.peer.told_lost is None:
            return
        command: dict[str, Any] = {"type": kind, "room": room, **fields}
        if answered:
            self._ids += 1
            command["id"] = self._ids
            self.waiting.setdefault(room, deque()).append(command)
        self.session.receive_message(_encode(command), True)

    def want(self, room: str, *, comes_anew: bool, **fields: Any) -> None:
        """Join a room; as one who was never there, if it comes anew."""
        self.wanted[room] = fields
        if comes_anew:
            self.views[room].since = None
        self._join(room)

    def unwant(self, room: str) -> None:
        """Leave a room."""
        self.wanted.pop(room, None)
        self.say("leave", room)

    def _join(self, room: str) -> None:
        fields = self.wanted.get(room)
        if fields is None:
            return
        self.say("join", room, **fields, **self.since(room))

    def since(self, room: str) -> dict[str, Any]:
        """The field of that name, where the client knows a position."""
        view = self.views[room]
        return {"since": view.since} if view.is_kept and view.since is not None else {}

    def ask_members(self, room: str, cursor: str | None) -> None:
        """Read the list of members again; not from within what told of it."""
        fields: dict[str, Any] = {} if cursor is None else {"cursor": cursor}
        self._loop.call_soon(lambda: self.say("members", room, limit=2, **fields))

    # Events

    def receive(self, event: dict[str, Any]) -> None:
        """One event came."""
        kind, room = event["type"], event.get("room", "")
        if "id" in event:
            asked = self._asked(event, room)
            if asked is not None:
                self._answered(kind, room, event, asked)
        elif kind == "message":
            self.views[room].message(event)
        elif kind == "gap":
            self.views[room].gap(event)
        elif kind == "presence":
            self.listings[room].presence(event)
        elif kind == "left":
            self._left(room)
            if not self._is_joining(room):
                self.wanted.pop(room, None)
        elif kind == "signal" and not self.views[room].is_joined:
            self._complain(f"{event} came to one who is not in the room")

    def _answered(self, kind: str, room: str, event: dict[str, Any], asked: dict[str, Any]) -> None:
        match kind:
            case "joined":
                self._joined(room, event, asked)
            case "published":
                self.views[room].published(asked["data"], event)
            case "error":
                self._refused(room, event, asked)
            case "left":
                self._left(room)
            case "members":
                self.listings[room].page(event)
            case "history":
                self._check_history(room, event, asked)

    def _left(self, room: str) -> None:
        self.views[room].left()
        self.listings[room].end()

    def _is_lacking(self, room: str) -> bool:
        view = self.views[room]
        return (view.is_doubtful or not view.is_joined) and not self._is_joining(room)

    def _is_joining(self, room: str) -> bool:
        return any(command["type"] == "join" for command in self.waiting.get(room, ()))

    def _asked(self, event: dict[str, Any], room: str) -> dict[str, Any] | None:
        waiting = self.waiting.get(room)
        if not waiting or waiting[0]["id"] != event["id"]:
            wanted = waiting[0] if waiting else "nothing"
            self._complain(f"{event} came, and {wanted} was to be answered")
            return None
        return waiting.popleft()

    def _joined(self, room: str, event: dict[str, Any], asked: dict[str, Any]) -> None:
        self.views[room].joined(self.connection, event, asked.get("since"))
        self.listings[room].end()
        if asked.get("watch"):
            self.listings[room].begin(event)

    def _refused(self, room: str, event: dict[str, Any], asked: dict[str, Any]) -> None:
        if event["code"] not in ("unavailable", "not_joined", "forbidden"):
            self._complain(f"{event} answers {asked}")
        match asked["type"]:
            case "publish" if "unknown" not in event["message"]:
                self.refused.append(asked["data"])
            case "join":
                self.views[room].doubt()
                self._again(lambda: self._join(room) if self._is_lacking(room) else None)
            case "members":
                self._again(self.listings[room].ask_again)
            case "leave":
                self._again(lambda: self.unwant(room) if room not in self.wanted else None)

    def _check_history(self, room: str, event: dict[str, Any], asked: dict[str, Any]) -> None:
        view = self.views[room]
        offsets = [item["offset"] for item in event["messages"]]
        if offsets and offsets != list(range(offsets[0], offsets[0] + len(offsets))):
            self._complain(f"{event} has a hole")
        since = asked.get("since")
        if since is not None and event["complete"] and offsets and offsets[0] != int(since.rpartition(":")[2]) + 1:
            self._complain(f"{event} claims to be complete since {since}")
        if not view.is_kept and (event["messages"] or event["position"] is not None):
            self._complain(f"{event} is of a room without history")
