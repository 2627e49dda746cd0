"""A fault proxy between nodes and Redis: it knows where commands and replies (RESP2) begin and end, so it can drop one
pub/sub message, or have Redis do a command and cut the connection instead of its reply.

with Proxy("unix:///tmp/v.sock", "unix:///tmp/p.sock", seed=1) as proxy:
    proxy.set(dropped_messages=0.05)
    proxy.cut("pubsub")
    proxy.heal()

It is a process of its own (`tests.faults.proxy_process`), told what to do by a line on its standard input, which it
answers with a line of counts on its standard output; it ends with its input.
"""

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import msgspec

Kind = Literal["commands", "pubsub"]


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What goes wrong, until other faults are set. Without any, everything passes.

    kinds: which connections the delays and freezes concern; one is `pubsub` from its first SUBSCRIBE on.
    …_delay_seconds: everything that way comes so much later, in its order.
    freezes_…: nothing passes that way; it does later, the end of a connection too.
    refuses: nobody gets a new connection.
    dropped_messages: the share of pub/sub messages that are swallowed.
    lost_replies: with this probability Redis gets a command, and the connection is cut when its reply comes; so are the
    replies that are on their way behind it.
    lost_replies_of: only commands with this text in their first 100 bytes, as the name of a script.
    """

    kinds: tuple[Kind, ...] = ("commands", "pubsub")
    to_server_delay_seconds: float = 0.0
    to_client_delay_seconds: float = 0.0
    freezes_to_server: bool = False
    freezes_to_client: bool = False
    refuses: bool = False
    dropped_messages: float = 0.0
    lost_replies: float = 0.0
    lost_replies_of: str = ""


class Counts(msgspec.Struct):
    """What passed since the start: pub/sub messages with those dropped; commands; replies that were cut, with those of
    other commands behind them; subscribers that came. And connections open now, of each kind.
    """

    messages: int = 0
    dropped: int = 0
    commands: int = 0
    cut_replies: int = 0
    subscribers: int = 0
    open_commands: int = 0
    open_pubsub: int = 0


class Order(msgspec.Struct, forbid_unknown_fields=True):
    """A line of control: other faults, or connections to cut now."""

    faults: Faults | None = None
    cut: tuple[Kind, ...] = ()


class Proxy:
    """The process, from outside. `upstream` and `url` are `unix://PATH` or `redis://HOST:PORT` (port 0: any)."""

    def __init__(self, upstream: str, url: str = "redis://127.0.0.1:0", *, seed: int = 0) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.proxy_process", upstream, url, str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        #: Where nodes reach it.
        self.url = self._process.stdout.readline().decode().strip()
        assert self.url, "the proxy did not start"

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def set(self, **faults: Any) -> Counts:
        """These faults and no others, in force when it returns."""
        return self._tell(Order(Faults(**faults)))

    def heal(self) -> Counts:
        """No more faults; what was frozen passes now."""
        return self.set()

    def cut(self, *kinds: Kind) -> Counts:
        """Cut the connections that there are, of these kinds or of all."""
        return self._tell(Order(cut=kinds or ("commands", "pubsub")))

    def counts(self) -> Counts:
        """What passed."""
        return self._tell(Order())

    def stop(self) -> None:
        """The end, of all its connections too."""
        with self._process as process:
            process.kill()
        if self.url.startswith("unix://"):
            Path(self.url.removeprefix("unix://")).unlink(missing_ok=True)

    def _tell(self, order: Order) -> Counts:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._process.stdout.readline(), type=Counts)
