"""What may happen in a history: each step does one thing to the world, as its own chance wants it."""

import random
from collections.abc import Callable
from typing import Final

from tests.simulation.world import ROOMS, World

Step = Callable[[World, random.Random], None]


def _room(chance: random.Random) -> str:
    return chance.choice((*ROOMS, "kept"))


def join(world: World, chance: random.Random) -> None:
    """A client joins, or joins again."""
    client, room = chance.choice(world.clients), _room(chance)
    fields = {"watch": True} if chance.random() < 0.5 else {}
    client.want(room, comes_anew=chance.random() < 0.3, **fields)


def leave(world: World, chance: random.Random) -> None:
    """A client leaves a room."""
    chance.choice(world.clients).unwant(_room(chance))


def publish(world: World, chance: random.Random) -> None:
    """A client publishes a few messages at once."""
    client, room = chance.randrange(len(world.clients)), _room(chance)
    for _ in range(chance.choice((1, 1, 2, 5))):
        number = world.new_number()
        key = f"k{number}" if chance.random() < 0.5 else ""
        world.sent[number] = (room, client, key)
        world.publish(client, number, answered=chance.random() < 0.8, echo=chance.random() < 0.3)


def retry(world: World, chance: random.Random) -> None:
    """A client sends again what has a key."""
    safe = [number for number, (_, client, key) in world.sent.items() if key and client is not None]
    for number in safe[-3:]:
        world.publish(world.sent[number][1] or 0, number, answered=True, echo=False)


def post(world: World, chance: random.Random) -> None:
    """A server publishes, and maybe once more, not to everybody."""
    number = world.new_number()
    world.sent[number] = (_room(chance), None, f"s{number}")
    exclude = tuple(client.connection for client in world.clients if chance.random() < 0.2)
    for _ in range(chance.choice((1, 1, 2))):
        world.spawn(world.post(number, exclude))


def signal(world: World, chance: random.Random) -> None:
    """A client sends a signal."""
    chance.choice(world.clients).say("signal", _room(chance), data=0)


def set_state(world: World, chance: random.Random) -> None:
    """A client shows another state."""
    chance.choice(world.clients).say("set_state", _room(chance), state=chance.randrange(100))


def history(world: World, chance: random.Random) -> None:
    """A client reads the history."""
    client, room = chance.choice(world.clients), _room(chance)
    client.say("history", room, **client.since(room))


def cut_client(world: World, chance: random.Random) -> None:
    """A client's network goes, or it closes its socket; it comes back."""
    peer = chance.choice(world.clients).peer
    if peer is not None:
        (peer.cut if chance.random() < 0.7 else peer.leave)()


def stay_away(world: World, chance: random.Random) -> None:
    """A client goes, and stays away until the end."""
    client = chance.choice(world.clients)
    client.is_back = False
    if client.peer is not None:
        client.peer.cut()


def slow_down(world: World, chance: random.Random) -> None:
    """A client reads slowly, or quickly again."""
    peer = chance.choice(world.clients).peer
    if peer is not None:
        peer.is_slow = not peer.is_slow


def put_out(world: World, chance: random.Random) -> None:
    """A server puts a user out of a room."""
    client, room = chance.choice(world.clients), _room(chance)
    for node in world.nodes:
        node.receive_expulsion("t1", room, client.name)
    world.store.members_of(room).end_absences(client.name)


def trim(world: World, chance: random.Random) -> None:
    """A room's history is cut, has run out, or was evicted."""
    store, room = world.store, _room(chance)
    match chance.randrange(4):
        case 0:
            store.trim(room, chance.randint(1, 6))
        case 1:
            store.trim(room, chance.randint(1, 6), for_budget=True)
        case 2:
            store.trim(room, 1_000)
        case _:
            store.evict(room)


def forget(world: World, chance: random.Random) -> None:
    """A server drops a room's history: its epoch ends."""
    node = chance.choice(world.nodes)
    node.broker.forget_history(node.broker.address("t1", _room(chance)))


def lose_lines(world: World, chance: random.Random) -> None:
    """A node's connections to Redis are cut: one, the other, or both."""
    model = chance.choice(world.nodes).model
    which = chance.randrange(3)
    if which != 1:
        model.line.cut(chance.randrange(4))
    if which != 0:
        model.channels.cut()


def go_deaf(world: World, chance: random.Random) -> None:
    """A node's channels say nothing any more, until a probe finds out and it connects anew."""
    channels = chance.choice(world.nodes).model.channels
    channels.is_deaf = True
    world.loop.call_later(chance.uniform(0.2, 2.0), channels.cut)


def confirm_again(world: World, chance: random.Random) -> None:
    """A subscription is confirmed twice."""
    chance.choice(world.nodes).model.channels.confirm_again(_room(chance))


def change_weather(world: World, chance: random.Random) -> None:
    """Messages are dropped, doubled, late."""
    weather = world.weather
    weather.drops = chance.choice((0.0, 0.1, 0.5))
    weather.doubles = chance.choice((0.0, 0.0, 0.3))
    weather.delays = chance.choice(((0.001,), (0.001, 0.005, 0.05), (0.05, 0.3)))


def save_backup(world: World, _chance: random.Random) -> None:
    """Somebody makes a backup of Redis' data."""
    world.backup = world.store.backup()


def restart_redis(world: World, chance: random.Random) -> None:
    """Redis is away for a while. It comes back with all its data, proved or not; with a backup; or with nothing."""
    kept = chance.choice((None, None, world.backup, {}))
    is_proved = kept is None and chance.random() < 0.5
    world.weather.is_away = True
    for node in world.nodes:
        node.model.line.cut(chance.randrange(4))
        node.model.channels.cut()
    world.store.restart(kept and {name: room.copy() for name, room in kept.items()}, is_proved=is_proved)
    world.loop.call_later(chance.choice((0.01, 0.5, 2.0)), setattr, world.weather, "is_away", False)


def kill_node(world: World, chance: random.Random) -> None:
    """A node's process is killed; another one begins, soon or at the end."""
    if len(world.nodes) > 1:
        node = world.nodes.pop(chance.randrange(len(world.nodes)))
        node.kill()
        if chance.random() < 0.7:
            world.loop.call_later(chance.uniform(0.01, 1.0), lambda: world.nodes.append(world.make_node()))


# Each with how often it is drawn.
STEPS: Final[dict[Step, int]] = {
    join: 20, leave: 4, publish: 24, retry: 4, post: 6, signal: 2, set_state: 3, history: 3, cut_client: 5,
    stay_away: 1, slow_down: 3, put_out: 2, trim: 4, forget: 2, lose_lines: 4, go_deaf: 2, confirm_again: 2,
    change_weather: 4, save_backup: 1, restart_redis: 2, kill_node: 2,
}  # fmt: skip
