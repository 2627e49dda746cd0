"""A node process in the place of `service.server`, so that tests of the supervisor see nothing of the application.

It answers each connection with a line of JSON: its worker index, its process id and the settings that it was told.
"""

import json
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

import msgspec

from service.orders import Order
from service.preparation import prepare
from service.settings import read_settings

worker, control_fd, listen_fd, *_ = map(int, sys.argv[1:])


def end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


ENDS = (signal.SIGTERM, signal.SIGHUP)
for number in ENDS:
    signal.signal(number, end)
if os.environ.get("STAND_IN_FAILS") == "at start" or Path(os.environ.get("STAND_IN_FAILS_IF", "-")).exists():
    sys.exit(3)
with socket.socket(fileno=control_fd) as control, control.makefile("rb") as lines:
    for line in lines:
        order = msgspec.json.decode(line, type=Order)
        if order.task == "serve":
            break
        prepared = prepare(read_settings(order.variables), demo=order.task == "prepare demo")
        control.sendall(msgspec.json.encode(prepared) + b"\n")
    else:
        sys.exit(0)
    control.sendall(b"{}\n")
with socket.socket(fileno=listen_fd) as listener:
    listener.setblocking(False)
    while True:
        select.select([listener], [], [])
        # A signal waits until who was accepted has the answer.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
        with suppress(BlockingIOError):  # another process was first
            connection, _ = listener.accept()
            with connection:
                told = {"worker": worker, "pid": os.getpid(), **order.variables}
                connection.sendall(json.dumps(told).encode() + b"\n")
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)
