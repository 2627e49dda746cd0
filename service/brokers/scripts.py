"""The Lua scripts: read from `scripts/`, loaded on every new connection before traffic, called by their digest."""

import re
from collections.abc import Sequence
from hashlib import sha1
from importlib.resources import files
from typing import Final

from service.brokers.resp import Argument, bulk, pack

_FOLDER: Final = files("service.brokers") / "scripts"
_NEEDS: Final = re.compile(r"\bneeds (\w+)$", re.MULTILINE)
ALL: Final[list["Script"]] = []


class Script:
    """One script: `scripts/<name>.lua`, with the functions that it says it `needs` put before it.

    Scripts with a `#!lua` header are refused whole when Redis is full, unless they may run then (`allow-oom`):
    removals and repairs may, and `even_when_full` makes it so for what a new lease registers again.
    """

    def __init__(self, name: str, *, even_when_full: bool = False) -> None:
        text = (_FOLDER / f"{name}.lua").read_text()
        header, _, body = text.partition("\n")
        if even_when_full:
            header = "#!lua flags=allow-oom"
        self.name = name
        self.text = "\n".join([header, *_needed(text).values(), body])
        self.digest = sha1(self.text.encode(), usedforsecurity=False).hexdigest()  # Redis calls scripts by their SHA-1
        ALL.append(self)

    def pack(self, keys: Sequence[bytes], *arguments: Argument) -> bytes:
        """A call of it, ready to be sent."""
        return pack("EVALSHA", self.digest, len(keys), *keys, *arguments)

    def beginning(self, keys: Sequence[bytes], arguments: int) -> bytes:
        """A call up to its arguments, which the caller adds as `bulk`s: made once for a key, 2 µs saved each time."""
        parts, packed = self.opening(keys)
        return b"*%d\r\n%b" % (parts + arguments, packed)

    def opening(self, keys: Sequence[bytes]) -> tuple[int, bytes]:
        """The same for any number of arguments: how many parts these are, and their bytes without the count."""
        parts = [b"EVALSHA", self.digest.encode(), b"%d" % len(keys), *keys]
        return len(parts), b"".join(map(bulk, parts))


def _needed(text: str) -> dict[str, str]:
    """The files that a script needs, by name, those that they need themselves before them."""
    found: dict[str, str] = {}
    for name in _NEEDS.findall(text):
        need = (_FOLDER / f"{name}.lua").read_text()
        found |= _needed(need) | {name: need}
    return found


def load_commands() -> list[bytes]:
    """SCRIPT LOAD of all of them, packed."""
    return [pack("SCRIPT", "LOAD", script.text) for script in ALL]


PUBLISH: Final = Script("publish")
READ_HISTORY: Final = Script("read_history")
END_EPOCH: Final = Script("end_epoch")
CHANGED_ROOMS: Final = Script("changed_rooms")
DESCRIBE_ROOM: Final = Script("describe_room")
JOIN: Final = Script("join")
JOIN_AGAIN: Final = Script("join", even_when_full=True)
LEAVE: Final = Script("leave")
END_ABSENCE: Final = Script("end_absence")
OVERDUE: Final = Script("overdue")
CHANGE_MEMBER: Final = Script("change_member")
LIST_MEMBERS: Final = Script("list_members")
WATCH: Final = Script("watch")
UNWATCH: Final = Script("unwatch")
SWEEP_MEMBERS: Final = Script("sweep_members")
CLAIM_ROOM: Final = Script("claim_room")
CLAIM_AGAIN: Final = Script("claim_room", even_when_full=True)
RELEASE_ROOM: Final = Script("release_room")
CONNECT: Final = Script("connect")
CONNECT_AGAIN: Final = Script("connect", even_when_full=True)
DISCONNECTED: Final = Script("disconnected")
SWEEP_CONNECTIONS: Final = Script("sweep_connections")
NOTE_ROOMS: Final = Script("note_rooms")
NOTE_KEY_USE: Final = Script("note_key_use")
SWEEP_KEY_USE: Final = Script("sweep_key_use")
NOTE_TENANT: Final = Script("note_tenant")
TELL_USER: Final = Script("tell_user")
TELL_CONNECTION: Final = Script("tell_connection")
TAKE_LEASE: Final = Script("take_lease")
RENEW_LEASE: Final = Script("renew_lease")
CLAIM_SWEEP: Final = Script("claim_sweep")
GREET: Final = Script("greet")
BEAT: Final = Script("beat")
ACCOUNT_HISTORY: Final = Script("account_history")
CUT_HISTORY: Final = Script("cut_history")
NOTE_SOUGHT: Final = Script("note_sought")
DIVIDE_RATES: Final = Script("divide_rates")
