"""A primary behind Sentinels is killed, frozen or cut off."""

import time
from pathlib import Path

from tests.faults.rows.failovers import AHEAD_SECONDS, Way, try_failovers
from tests.faults.run import Outcome, Row, Run
from tests.support.sentinel import SERVERS, SentinelGroup


class Group:
    """The Sentinels' servers as a deployment to be hurt. is_hurried: nobody waits until they find who came back."""

    def __init__(self, folder: Path, *, is_hurried: bool) -> None:
        self._folder = folder
        self._is_hurried = is_hurried
        self._group = SentinelGroup(folder, "appendonly yes")
        self._group.start()
        self.url = self._group.url
        self.stop = self._group.stop
        self.failed_over = self._group.failed_over
        self.is_whole = self._group.is_whole

    def primary(self) -> int:
        return self._group.primary

    def hurt(self, server: int, way: Way) -> None:
        if way == "frozen":
            self._group.freeze(server)
        elif way == "cut off":
            self._group.cut_off(server)
        else:
            replicas = [each for each in range(SERVERS) if each != server and way == "killed ahead"]
            for replica in replicas:
                self._group.kill(replica)
            time.sleep(AHEAD_SECONDS if replicas else 0)
            self._group.kill(server)
            for replica in replicas:
                self._group.restart(replica)

    def heal(self, server: int, way: Way) -> None:
        {"frozen": self._group.thaw, "cut off": self._group.reconnect}.get(way, self._group.restart)(server)
        if self._is_hurried:
            self._group.follow(server)

    def serving(self) -> list[Path]:
        return [self._folder / f"server-{self._group.primary}"]


async def run(run: Run) -> Outcome:
    """Each way in turn."""
    group = Group(run.folder / "s", is_hurried=run.is_short)
    run.ending.callback(group.stop)
    return await try_failovers(run, group, ("killed", "killed ahead", "frozen", "cut off"))


ROW = Row(
    name="sentinel_failovers",
    fault="the primary behind Sentinels killed (its replicas with it, or not), frozen, cut off",
    done_when="0 lost where all replicas acknowledge, else 0 silently; publishing ≤ 5 s after promotion",
    full_times=40,
    round_times=8,
    short_times=1,
    run=run,
)
