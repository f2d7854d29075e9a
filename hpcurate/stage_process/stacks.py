"""Where each thread of a stage process is: written to its log on a signal, also while native code holds Python's lock.

The handler is faulthandler's, in C. The signal is a real-time one, which libraries leave alone: schedulers and users
send SIGUSR1 and SIGUSR2. Python 3.9.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import signal

from hpcurate.stage_process.channel import APART

STACKS = signal.SIGRTMAX - 3


def write_on_signal() -> None:
    """From now on this process writes its stacks to what is its stderr now, whatever becomes of that."""
    with contextlib.suppress(OSError, ValueError):  # so few descriptors may be open here
        faulthandler.register(STACKS, fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, APART), all_threads=True)
