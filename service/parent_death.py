"""A child process that does not outlive its parent, however that ends."""

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_prctl: Final = ctypes.CDLL(None).prctl if sys.platform == "linux" else None  # loaded here: after fork is too late
_parent: Final = os.getpid()


def end_with_parent() -> None:
    """As `preexec_fn`: have Linux send the new child SIGTERM when its parent dies, so that it ends in good order.

    Elsewhere it does nothing. The signal comes when the *thread* that started the child ends: start children on the
    main thread, of the process that first imported this module.
    """
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != _parent:  # it died in between, and no signal will come
            os._exit(1)
