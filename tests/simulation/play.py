"""Random histories: drawn from a seed, played, and when one goes wrong, shortened to the steps that it needs."""

import asyncio
import logging
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Final, NamedTuple

import structlog

from service.rooms import local_rooms, watches
from tests.simulation.clock import VirtualLoop, virtual_time
from tests.simulation.steps import STEPS, Step, join
from tests.simulation.world import World

STEPS_OF_A_HISTORY: Final = 24
PAUSES_SECONDS: Final = (0.0, 0.0, 0.001, 0.01, 0.1, 0.4)


class Drawn(NamedTuple):
    """One step of a history: after a pause, with a chance of its own, so that it stays the same when others go."""

    pause_seconds: float
    step: Step
    seed: int

    def __str__(self) -> str:
        return f"after {self.pause_seconds} s {self.step.__name__} ({self.seed})"


class Failure(NamedTuple):
    """A history that went wrong."""

    seed: int
    steps: Sequence[Drawn]
    complaints: Sequence[str]

    def __str__(self) -> str:
        steps = "\n  ".join(map(str, self.steps))
        return f"seed {self.seed}:\n  {steps}\n" + "\n".join(self.complaints[:5])


def draw(seed: int) -> list[Drawn]:
    """The history of a seed."""
    chance = random.Random(seed)
    kinds, weights = list(STEPS), list(STEPS.values())
    chosen = [join, join, join, *chance.choices(kinds, weights, k=STEPS_OF_A_HISTORY)]
    return [Drawn(chance.choice(PAUSES_SECONDS), step, chance.getrandbits(32)) for step in chosen]


def play(loop: VirtualLoop, seed: int, steps: Sequence[Drawn]) -> list[str]:
    """Play a history; what was seen that must not be."""
    random.seed(seed)
    world = World(loop, seed)
    try:
        loop.run_until_complete(_play(world, steps))
    finally:
        world.end()
    return world.complaints


async def _play(world: World, steps: Sequence[Drawn]) -> None:
    for client in world.clients:
        client.connect()
    await asyncio.sleep(1.0)
    for drawn in steps:
        if drawn.pause_seconds:
            await asyncio.sleep(drawn.pause_seconds)
        drawn.step(world, random.Random(drawn.seed))
        if world.complaints:
            return
    await world.settle()
    world.check()


def shorten(loop: VirtualLoop, failure: Failure) -> Failure:
    """The same failure, by as few steps as may be: drops what it can, in halves, quarters, … down to single steps."""
    steps, complaints, size = list(failure.steps), failure.complaints, len(failure.steps) // 2
    while size:
        start = 0
        while start < len(steps):
            fewer = steps[:start] + steps[start + size :]
            found = play(loop, failure.seed, fewer)
            if found and _kind(found) == _kind(complaints):
                steps, complaints = fewer, found
            else:
                start += size
        size //= 2
    return Failure(failure.seed, steps, complaints)


def _kind(complaints: Sequence[str]) -> str:
    """What went wrong, whoever it befell and where."""
    return re.sub(r"\b(ann|bob|cyd|kept|short|unkept)\b|[-\d]+|'(data|from|position)': [^,]*", "", complaints[0])[:60]


def find_failure(seeds: range, *, shortened: bool = True) -> Failure | None:
    """Play the histories of these seeds up to the first that goes wrong."""
    with simulated() as loop:
        for seed in seeds:
            steps = draw(seed)
            if complaints := play(loop, seed, steps):
                failure = Failure(seed, steps, complaints)
                return shorten(loop, failure) if shortened else failure
    return None


@contextmanager
def simulated() -> Iterator[VirtualLoop]:
    """Virtual time, no logs (thousands of outages are told of there), and what takes many seconds takes fewer."""
    configured = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    shortened: list[tuple[ModuleType, str, float]] = [
        (local_rooms, "LINGER_SECONDS", 1.0),
        (watches, "TICKS_OF_A_ROUND", 4),
    ]
    usual = [(module, name, getattr(module, name)) for module, name, _ in shortened]
    try:
        for module, name, value in shortened:
            setattr(module, name, value)
        with virtual_time() as loop:
            yield loop
    finally:
        for module, name, value in usual:
            setattr(module, name, value)
        structlog.configure(**configured)
