"""The hot paths whose instructions are counted: what each message, socket and join goes through.

Each maker gets things ready and returns one step; a step does the same each time it is called.
"""

from collections.abc import Callable
from itertools import count
from types import SimpleNamespace
from typing import Any, Final, cast

from benchmarks.instructions.still_node import EPOCH, NOW_MS, Hearer, StillNode, TakesAll, snapshot, token
from service.brokers import scripts
from service.brokers.broker import Envelope, Origin
from service.brokers.envelope import receive_room_payload
from service.brokers.resp import bulk
from service.protocol.codec import decode_command
from service.rooms.admission import admit
from service.rooms.fanout import Delivery
from service.rooms.outgoing import OutgoingMessage, author
from service.rooms.room import Room
from service.rooms.slow_consumers import message_items
from service.rooms.usage import Usage
from service.tenants.tokens import verify_token
from service.transports.frame_reader import FrameReader
from service.transports.outbox import Outbox, Turn

Step = Callable[[], object]

PAYLOAD: Final = b'{"t":"%b"}' % (b"x" * 92)  # 100 bytes, as in the other benchmarks
PUBLISH: Final = b'{"type":"publish","room":"chat:1","data":%b}' % PAYLOAD
ANSWERED_PUBLISH: Final = b'{"type":"publish","id":17,"room":"chat:1","data":%b}' % PAYLOAD
JOIN: Final = b'{"type":"join","id":"j1","room":"chat:1"}'
BODY: Final = b'"data":%b,"from":{"user":"alice","connection":"%b"}' % (PAYLOAD, b"c" * 22)
GATHERED: Final = 16  # messages of one read or turn, under load
HEARERS: Final = 100


def masked_frames(payload: bytes, number: int) -> bytes:
    """The payload as so many text frames of a client (RFC 6455, section 5.2), under one mask."""
    mask = b"\x37\xfa\x21\x3d"
    length = bytes((0x80 | len(payload),)) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2)
    covered = bytes(byte ^ mask[place & 3] for place, byte in enumerate(payload))
    return (b"\x81" + length + mask + covered) * number


def room_payload(offset: int, number: int) -> bytes:
    """So many messages of a room as they come from Redis, the first at `offset`."""
    origins = ",".join(['["",0,false,[]]'] * number)
    lengths = ",".join([str(len(BODY))] * number)
    line = f'["{EPOCH}",{offset},true,{NOW_MS},[{origins}],[{lengths}]]'
    return b"1 m " + line.encode() + b"\n" + BODY * number


def parse_frames() -> Step:
    """16 publishes in one read of a socket."""
    reader = FrameReader(cast(Any, SimpleNamespace(max_frame_bytes=65_536, max_fragments=64)))
    data = masked_frames(PUBLISH, GATHERED)

    def step() -> None:
        reader.receive_data(data)
        reader.read(1_000)

    return step


def decode_commands() -> Step:
    """A publish and a join from JSON."""

    def step() -> None:
        decode_command(PUBLISH, False)
        decode_command(JOIN, False)

    return step


def dispatch_publish() -> Step:
    """A publish that is answered: rights, limits, the lane of answers, Redis and its reply."""
    node = StillNode()
    session = node.session("publisher")

    def step() -> None:
        session.receive_message(ANSWERED_PUBLISH, True)
        node.settle()

    return step


def dispatch_publishes() -> Step:
    """16 publishes of one loop turn without an answer: one call of Redis."""
    node = StillNode()
    session = node.session("publisher")

    def step() -> None:
        for _ in range(GATHERED):
            session.receive_message(PUBLISH, True)
        node.settle()

    return step


def ask_redis() -> Step:
    """16 commands packed, written in one turn, their replies read and handed over."""
    node = StillNode()
    keys = [b"rc1:{p17}:m/tenant000001/chat:1"] * 3

    def step() -> None:
        for _ in range(GATHERED):
            node.commands.send(scripts.LEAVE.pack(keys, "c" * 22, "n1", 0, "tenant000001/chat:1"), _take)
        node.settle()

    return step


def _take(_reply: object) -> None:
    """A reply, of which nothing is wanted."""


def decode_messages() -> Step:
    """16 messages of a room as Redis announces them."""
    receiver: Any = SimpleNamespace(receive_message=id)
    payload = room_payload(1, GATHERED)
    return lambda: receive_room_payload(receiver, payload)


def order_room() -> Step:
    """16 messages that arrive in a room's order, and nobody there to hear them."""
    node = StillNode()
    room = Room("chat:1", node.broker.address("tenant000001", "chat:1"), node.manager.rooms, _rules(node))
    room.epoch, room.claims = EPOCH, 1
    offsets = count(1)

    def step() -> None:
        for _ in range(GATHERED):
            room.receive_message(Envelope(EPOCH, next(offsets), True, NOW_MS, Origin(), BODY))
        room.settle()
        node.settle()

    return step


def _rules(node: StillNode) -> Any:
    return node.manager.rooms.rulebook.find("chat:1")


def fan_out() -> Step:
    """One message encoded, framed and handed to 100 subscribers."""
    message = Envelope(EPOCH, 1, True, NOW_MS, Origin(), BODY)
    hearers: list[Any] = [Hearer() for _ in range(HEARERS)]
    prefix, usage = b'{"type":"message","room":"chat:1",', Usage()

    def step() -> None:
        items = message_items("chat:1", prefix, [message], "disconnect")
        Delivery(items, hearers, [], 1).send_slice(1_000, usage)

    return step


def write_outboxes() -> Step:
    """100 outboxes that get two frames each in one turn, and write them."""
    node = StillNode()
    turn = Turn(node.loop)
    outboxes = [Outbox(TakesAll(), turn, 1_000_000) for _ in range(HEARERS)]
    frame = b"\x81\x7e\x00\xc8" + b"x" * 200

    def step() -> None:
        for outbox in outboxes:
            outbox.send(frame)
            outbox.send(frame)
        node.settle()

    return step


def verify_tokens() -> Step:
    """A token under HS256."""
    tenant = snapshot()
    signed = token(tenant)
    return lambda: verify_token(tenant, signed, NOW_MS)


def take_limits() -> Step:
    """What a publish takes of the connection's, room's and tenant's limits."""
    node = StillNode()
    session, rules = node.session("publisher"), _rules(node)
    message = OutgoingMessage(PAYLOAD, None, author("alice", session.id))
    rates, budgets = node.manager.rooms.rates, node.manager.budgets

    def step() -> None:
        session.bucket.take(1, 0.0)
        admit(message, "chat:1", 10, rules, rates, budgets)

    return step


def join_room() -> Step:
    """A join of a room that is open here, anew each time, and its answer."""
    node = StillNode()
    other, session = node.session("other"), node.session("joining")
    other.receive_message(JOIN, True)
    node.settle()

    def step() -> None:
        session.receive_message(JOIN, True)
        node.settle()

    return step


def deliver() -> Step:
    """The whole way of one message from Redis' socket to the writes of 100 sockets."""
    node = StillNode()
    turn = Turn(node.loop)
    for number in range(HEARERS):
        outbox: Any = HeardOutbox(TakesAll(), turn, 1_000_000)
        node.session(f"hearer{number}", outbox).receive_message(JOIN, True)
    node.settle()
    channel = node.broker.address("tenant000001", "chat:1").keys.channel
    offsets = count(1)

    def step() -> None:
        payload = room_payload(next(offsets), 1)
        node.channels.data_received(b"*3\r\n$7\r\nmessage\r\n" + bulk(channel) + bulk(payload))
        node.settle()

    return step


class HeardOutbox(Outbox):
    """An outbox as a room sees a socket."""

    binary = False


PATHS: Final[dict[str, Callable[[], Step]]] = {
    "frame parse": parse_frames,
    "command decode": decode_commands,
    "publish, answered": dispatch_publish,
    "publish, 16 a turn": dispatch_publishes,
    "RESP pack and parse": ask_redis,
    "broker message decode": decode_messages,
    "room order": order_room,
    "fan-out": fan_out,
    "outbox write": write_outboxes,
    "token verify": verify_tokens,
    "limits": take_limits,
    "join": join_room,
    "delivery to 100": deliver,
}
