"""The rate that the server grants a connection (`welcome.limits`), kept to, so that a long queue is not refused."""


class Pace:
    """`burst` commands at once, then `per_second`. None: no limit. Times are monotonic, in seconds."""

    def __init__(self, per_second: int | None, burst: int | None, now: float) -> None:
        self._per_second = per_second
        self._burst = float(burst if burst is not None else per_second or 0)
        self._left = self._burst
        self._at = now

    def wait_seconds(self, now: float) -> float:
        """How long until one more may go; 0: now."""
        if self._per_second is None:
            return 0.0
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        return 0.0 if self._left >= 1 else (1 - self._left) / self._per_second

    def spend(self) -> None:
        """One goes."""
        self._left -= 1
