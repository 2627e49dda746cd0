"""One primary of a Valkey Cluster is killed, frozen or cut off: only its rooms notice."""

import random
import time
from pathlib import Path

from tests.faults.cut_cluster import CutCluster
from tests.faults.rows.failovers import AHEAD_SECONDS, Way, try_failovers
from tests.faults.run import Outcome, Row, Run


class Shards:
    """The Cluster's servers as a deployment to be hurt."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._folder = folder
        self._chance = chance
        folder.mkdir()
        self._cluster = CutCluster(folder)
        self._cluster.start()
        self.url = self._cluster.url
        self.stop = self._cluster.stop
        self.failed_over = self._cluster.failed_over
        self.is_whole = self._cluster.until_whole

    def primary(self) -> int:
        return self._chance.choice(self._cluster.primaries())

    def hurt(self, server: int, way: Way) -> None:
        if way == "frozen":
            self._cluster.freeze(server)
        elif way == "cut off":
            self._cluster.cut_off(server)
        else:
            replicas = self._cluster.replicas_of(server) if way == "killed ahead" else []
            for replica in replicas:
                self._cluster.kill(replica)
            time.sleep(AHEAD_SECONDS if replicas else 0)
            self._cluster.kill(server)
            for replica in replicas:
                self._cluster.restart(replica)

    def heal(self, server: int, way: Way) -> None:
        {"frozen": self._cluster.thaw, "cut off": self._cluster.reconnect}.get(way, self._cluster.restart)(server)

    def serving(self) -> list[Path]:
        return [self._folder / str(server) for server in self._cluster.primaries()]


async def run(run: Run) -> Outcome:
    """Any primary, both ways in turn."""
    shards = Shards(run.folder / "c", run.chance)
    run.ending.callback(shards.stop)
    return await try_failovers(run, shards, ("killed", "killed ahead", "frozen", "cut off"))


ROW = Row(
    name="cluster_failovers",
    fault="one primary of a Cluster of three killed (its replica with it, or not), frozen, cut off",
    done_when="0 lost where all replicas acknowledge, else 0 silently; publishing ≤ 5 s after promotion",
    full_times=40,
    round_times=8,
    short_times=1,
    run=run,
)
