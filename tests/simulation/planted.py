"""Mistakes that somebody could make in `rooms/`, planted by a change of its text: the simulation must find each."""

import inspect
import sys
import textwrap
from types import FunctionType
from typing import Any, Final, NamedTuple

import pytest

from service.commands import messages
from service.rooms import recovery
from service.rooms.answers import Lane
from service.rooms.connection_manager import ConnectionManager
from service.rooms.membership import Membership
from service.rooms.presence import RoomPresence
from service.rooms.repair import Repairs
from service.rooms.room import Room
from service.rooms.watches import Watches


class Mistake(NamedTuple):
    """In `owner.name` the text `right` (once there) becomes `wrong`."""

    owner: Any
    name: str
    right: str
    wrong: str

    def plant(self, patch: pytest.MonkeyPatch) -> None:
        """Until the patch is undone. Fails if the text is not there any more: then plant it elsewhere."""
        function: FunctionType = getattr(self.owner, self.name)
        source = textwrap.dedent(inspect.getsource(function))
        assert source.count(self.right) == 1, f"{self.owner.__name__}.{self.name} has no {self.right!r} to go wrong"
        made: dict[str, Any] = {}
        code = compile(source.replace(self.right, self.wrong), f"<{self.name}, with a mistake>", "exec")
        exec(code, vars(sys.modules[function.__module__]), made)  # noqa: S102 - our own text
        patch.setattr(self.owner, self.name, made[self.name])


MISTAKES: Final[dict[str, Mistake]] = {
    "a jump is taken for the next message": Mistake(
        Room, "settle", "if envelope.offset > self.offset + 1:",
        "self.offset = max(self.offset, envelope.offset - 1)\n        if False:",
    ),
    "what was seen is handed on again": Mistake(
        Room, "settle", "if envelope.offset == self.offset + 1:", "if True:"
    ),
    "an interruption is not repaired": Mistake(
        Room, "receive_interruption", "self._attendant.needs_repair(self)", "pass"
    ),
    "a lost tail is not looked for": Mistake(Room, "receive_head", "self._attendant.needs_repair(self)", "pass"),
    "an epoch ends and nobody is told": Mistake(Room, "begin_epoch", 'self.skip_to(head, "epoch")', "pass"),
    "a gap passes an answer before it is told": Mistake(
        Room,
        "skip_to",
        "self.offset = head.offset",
        "self.offset = head.offset; [each.pass_answers(head, ()) for each in self.members]",
    ),
    "a member is live before it has caught up": Mistake(
        Room, "promote", "if member.offset <= self.offset:", "if True:"
    ),
    "who leaves goes on hearing": Mistake(
        Room, "remove", "del self.live[subscriber]", "pass"
    ),
    "a repair takes what was read of the epoch before": Mistake(
        Repairs, "_read_page", "if room.epoch != epoch:", "if False:"
    ),
    "a recovery begins behind what is gone": Mistake(
        recovery, "begin", "if page.first > since.offset + 1:", "if False:"
    ),
    "a position of an epoch that ended is recovered": Mistake(
        recovery, "begin", "if since.epoch != room.epoch or since.offset", "if since.offset"
    ),
    "a refused recovery forgets what came meanwhile": Mistake(
        recovery, "_gap", "max(member.joined_offset, room.offset)", "member.joined_offset"
    ),
    "a recovery ends with its first page": Mistake(
        recovery, "_feed", "if member.offset >= room.offset and member.offset >= member.joined_offset:", "if True:"
    ),
    "what is held back is lost": Mistake(Membership, "resume", "self.take(items)", "pass"),
    "an excluded connection gets the message": Mistake(
        Membership, "_take_message", "if self.connection.id not in origin.exclude:", "if True:"
    ),
    "one's own message comes and is answered too": Mistake(
        Membership, "_place", "if origin.echo:", "if True:"
    ),
    "published does not wait for its place": Mistake(
        messages, "_take_place", "if member is None or not member.awaits(stored.position):", "if True:"
    ),
    "an answer does not wait for those before it": Mistake(
        Lane, "add", "(is_pipelined and self.unstarted == 0 and self._answers[0].is_pipelined)", "True"
    ),
    "a lost socket leaves a ghost": Mistake(
        ConnectionManager, "disconnect", "self.broker.left(member.room.address, connection.id, grace_ms)", "pass"
    ),
    "a jump in presence is not noticed": Mistake(
        RoomPresence, "take", "if self.sequence and behind != -1:", "if False:"
    ),
    "who has a message is told that it is lost": Mistake(
        Membership, "take", "if not (isinstance(item, Loss) and self._is_behind(item.end)):", "if True:"
    ),
    "a lost change in presence is not looked for": Mistake(
        Watches, "_look", "look.add_done_callback(", "(lambda _: None)("
    ),
}  # fmt: skip
