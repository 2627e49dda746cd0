"""A node process in the place of `service.server`, so that tests of the supervisor see nothing of the application.

It answers each connection with a line of JSON: its worker index, its process id and the settings that it was told.
"""

import json
import os
import signal
import socket
import sys
from types import FrameType

worker, control_fd, listen_fd, *_ = map(int, sys.argv[1:])


def end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


signal.signal(signal.SIGTERM, end)
if os.environ.get("STAND_IN_FAILS") == "at start":
    sys.exit(3)
with socket.socket(fileno=control_fd) as control, control.makefile() as lines:
    if not (line := lines.readline()):
        sys.exit(0)
    settings = json.loads(line)
    control.sendall(b"\x01")
with socket.socket(fileno=listen_fd) as listener:
    listener.setblocking(True)
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(json.dumps({"worker": worker, "pid": os.getpid(), **settings}).encode() + b"\n")
