"""Who is measured in a workload, and with which goal: issue 7 of the project, "Goals"."""

from collections.abc import Sequence

from benchmarks.peers import centrifuge
from benchmarks.peers.every import C_AND_GO, PYTHON_AND_NODE
from benchmarks.workload import Rival, Side


def all_rivals(
    against_history: float | None,
    against_tuned: float | None,
    against_python: float | None,
    messages: tuple[int, int, int],
) -> tuple[Rival, ...]:
    """Every peer, with the goals against Centrifuge with history, the same tuned, and the Python and node peers.

    messages: for the peers in Go and C, for Centrifuge with its default writer, for those in Python and node.
    """
    fast, default, python = messages
    return (
        Rival(centrifuge.HISTORY, against_history, default),
        Rival(centrifuge.TUNED, against_tuned, fast),
        Rival(centrifuge.REDIS, None, default),
        Rival(centrifuge.MEMORY, None, default),
        *each(PYTHON_AND_NODE, against_python, python),
        *each(C_AND_GO, None, fast),
    )


def each(sides: Sequence[Side], goal: float | None, messages: int | None = None) -> tuple[Rival, ...]:
    """These sides, with one goal."""
    return tuple(Rival(side, goal, messages) for side in sides)
