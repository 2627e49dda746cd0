"""What lies between a node and Redis: a connection for commands, one for channels, and the weather on both."""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Any

from service.brokers.broker import Listener, RoomReceiver
from service.brokers.resp import out_of_reach, outcome_unknown
from service.protocol.errors import RoomcastError
from tests.simulation.clock import VirtualLoop
from tests.simulation.store import Store, Tell

Work = Callable[[], Any]
Done = Callable[[Any], None]


class Weather:
    """How it goes on all lines. delays: seconds one way, one of which is drawn each time. drops, doubles: of a
    channel's message, probabilities. is_away: Redis does not answer to who would connect.
    """

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.clear_up()

    def clear_up(self) -> None:
        """Good weather."""
        self.delays: tuple[float, ...] = (0.001, 0.001, 0.002)
        self.drops = self.doubles = 0.0
        self.is_away = False

    def delay(self) -> float:
        """Of one way."""
        return self.chance.choice(self.delays)


class Line:
    """A node's connection for commands: what is asked is done and answered in its order."""

    def __init__(self, loop: VirtualLoop, weather: Weather, lost: Callable[[], None]) -> None:
        self._loop, self._weather, self._lost = loop, weather, lost
        self.is_open = False
        self._number = 0
        self._arrives = self._returns = 0.0
        self._sent: deque[Work] = deque()
        self._answers: deque[Any] = deque()
        self._waiting: deque[Done] = deque()

    def open(self) -> None:
        """Connected, nothing under way."""
        self.is_open = True

    def cut(self, done_first: int = 0) -> None:
        """Lost: so many commands under way are still done, none of them is answered."""
        if not self.is_open:
            return
        self.is_open = False
        self._number += 1
        for work in list(self._sent)[:done_first]:
            _do(work)
        self._sent.clear()
        self._answers.clear()
        waiting, self._waiting = self._waiting, deque()
        for done in waiting:
            done(outcome_unknown())
        self._lost()

    def send(self, work: Work, done: Done) -> None:
        """Have something done at Redis; `done` is told what it gives or raises."""
        if not self.is_open:
            self._loop.call_soon(done, out_of_reach())
            return
        self._sent.append(work)
        self._waiting.append(done)
        self._arrives = max(self._arrives, self._loop.time() + self._weather.delay())
        self._loop.call_at(self._arrives, self._arrive, self._number)

    def ask(self, work: Work) -> "asyncio.Future[Any]":
        """The same, as a future."""
        future: asyncio.Future[Any] = self._loop.create_future()

        def done(result: Any) -> None:
            if future.done():
                return
            if isinstance(result, Exception):
                future.set_exception(result)
                future.exception()
            else:
                future.set_result(result)

        self.send(work, done)
        return future

    def _arrive(self, number: int) -> None:
        if number != self._number:
            return
        self._answers.append(_do(self._sent.popleft()))
        self._returns = max(self._returns, self._loop.time() + self._weather.delay())
        self._loop.call_at(self._returns, self._return, number)

    def _return(self, number: int) -> None:
        if number == self._number:
            self._waiting.popleft()(self._answers.popleft())


def _do(work: Work) -> Any:
    try:
        return work()
    except RoomcastError as error:
        return error


class Channels:
    """A node's connection for channels: what is told comes in its order, or, in bad weather, not at all or twice."""

    def __init__(self, loop: VirtualLoop, weather: Weather, store: Store, lost: Callable[[], None]) -> None:
        self._loop, self._weather, self._store, self._lost = loop, weather, store, lost
        self.listener: Listener | None = None
        self.is_open = self.is_deaf = False
        self.receivers: dict[str, RoomReceiver] = {}
        self._hearing: dict[str, Callable[[Tell], None]] = {}
        self._number = 0
        self._arrives = 0.0
        self._stream: deque[tuple[float, Callable[[], None]]] = deque()
        self._unconfirmed: dict[asyncio.Future[None], str] = {}

    def subscribe(self, name: str, receiver: RoomReceiver) -> "asyncio.Future[None]":
        """Hear a room."""
        future: asyncio.Future[None] = self._loop.create_future()
        if not self.is_open:
            future.set_exception(out_of_reach())
            future.exception()
            return future
        self.receivers[name] = receiver
        self._unconfirmed[future] = name
        self._loop.call_later(self._weather.delay(), self._subscribed, self._number, name, future)
        return future

    def unsubscribe(self, name: str) -> None:
        """Stop."""
        if self.receivers.pop(name, None) is not None:
            self._stop_hearing(name)

    async def open(self) -> None:
        """Connected: hear everything again, and tell the rooms. Raises Unavailable."""
        self.is_open, self.is_deaf = True, False
        number = self._number
        again = {name: self._loop.create_future() for name in self.receivers}
        for name, future in again.items():
            self._loop.call_later(self._weather.delay(), self._subscribed, number, name, future)
        while not all(future.done() for future in again.values()):
            await asyncio.sleep(0.001)
            if number != self._number:
                raise out_of_reach()
        for name in again:
            if (receiver := self.receivers.get(name)) is not None:
                receiver.receive_interruption()

    def cut(self) -> None:
        """Lost, and all that was under way on it."""
        if not self.is_open:
            return
        self.is_open = False
        self._number += 1
        self._stream.clear()
        for name in list(self._hearing):
            self._stop_hearing(name)
        unconfirmed, self._unconfirmed = self._unconfirmed, {}
        for future, name in unconfirmed.items():
            self.receivers.pop(name, None)
            future.set_exception(outcome_unknown())
            future.exception()
        self._lost()

    def confirm_again(self, name: str) -> None:
        """A confirmation that nobody asked for: something between connected anew."""
        if (receiver := self.receivers.get(name)) is not None:
            receiver.receive_interruption()

    def probe(self, came: Callable[[], None]) -> None:
        """Redis tells this node what it asked for by the other line; it comes behind all that was told before."""
        if self.is_open and not self.is_deaf:
            self._append(came)

    def _subscribed(self, number: int, name: str, future: "asyncio.Future[None]") -> None:
        if number != self._number:
            return
        if name in self.receivers and name not in self._hearing:

            def hear(deliver: Tell) -> None:
                self._hear(name, deliver)

            self._hearing[name] = hear
            self._store.heard.setdefault(name, []).append(hear)
        self._append(lambda: self._confirm(future))

    def _confirm(self, future: "asyncio.Future[None]") -> None:
        self._unconfirmed.pop(future, None)
        if not future.done():
            future.set_result(None)

    def _stop_hearing(self, name: str) -> None:
        hear = self._hearing.pop(name, None)
        if hear is not None and hear in (hearing := self._store.heard.get(name, [])):
            hearing.remove(hear)

    def _hear(self, name: str, deliver: Tell) -> None:
        weather = self._weather
        if self.is_deaf or (weather.drops and weather.chance.random() < weather.drops):
            return

        def told() -> None:
            if (receiver := self.receivers.get(name)) is not None:
                deliver(receiver)

        self._append(told)
        if weather.doubles and weather.chance.random() < weather.doubles:
            self._append(told)

    def _append(self, told: Callable[[], None]) -> None:
        self._arrives = max(self._arrives, self._loop.time() + self._weather.delay())
        self._stream.append((self._arrives, told))
        self._loop.call_at(self._arrives, self._arrive)

    def _arrive(self) -> None:
        """One read of the socket: all that is there by now."""
        if not self._stream or self._stream[0][0] > self._loop.time():
            return
        while self._stream and self._stream[0][0] <= self._loop.time():
            self._stream.popleft()[1]()
        if self.listener is not None:
            self.listener.turn_ended()
