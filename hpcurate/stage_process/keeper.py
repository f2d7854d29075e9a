"""The keeper: the parent of one stage process, which ends whatever that leaves behind.

A process whose parent has died goes to the next ancestor that asked for orphans (prctl(2), PR_SET_CHILD_SUBREAPER).
The keeper asks: pools, ffmpeg, and daemons that called setsid twice stay below it, and it keeps one stage process only,
so nobody has to guess whose they are. That needs no root, no control group and no mark in an environment that a program
may clear. It ends all of them when the stage process has ended, and the stage process, too, when the supervisor has,
however it died; then it ends as the stage process did, so that the supervisor sees one child.

It is forked before any code of the user's runs, and starts nothing itself.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from contextlib import suppress
from typing import NoReturn, Optional

from hpcurate.system.processes import adopt_orphans, descendants, die_with_parent, end_by

TEARDOWN_S = 10.0
"""How long a stage may take to tear down where only the channel's end tells that the supervisor is gone."""
HELPERS_S = 0.5
"""How long helpers may take to leave by themselves: those of multiprocessing remove what is left in /dev/shm."""
STUCK_S = 5.0
"""How long they are killed: one that waits for a file server that is gone may never leave."""
_SIGNALS = (
    signal.SIGCHLD, signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
)  # fmt: skip
"""What wakes it and does no more: a scheduler signals all processes of a job, and it has to stay to the end."""


def keep(channel: socket.socket, parent: int) -> None:
    """Go on as the child of a keeper, in a session of its own: returns in the child only.

    `parent` is the supervisor, or 0 where it may be no ancestor: then the end of `channel` tells that it is gone.
    """
    keeper = os.getpid()
    adopt_orphans()
    child = os.fork()
    if not child:
        os.setsid()
        die_with_parent(keeper)
        return
    try:
        status = _outlast(child, channel, parent)
        _end_helpers()
        _end_as(status)
    finally:
        os._exit(1)


def _outlast(child: int, channel: socket.socket, parent: int) -> int:
    """The wait status of the stage process once it has ended. It is killed once its supervisor is gone."""
    signals = _woken()
    events = select.poll()
    events.register(signals, select.POLLIN)
    if parent:
        die_with_parent(parent, how=signal.SIGHUP)  # wakes us
    else:
        events.register(channel, select.POLLRDHUP)
    end: Optional[float] = None
    while (status := _reaped(child)) is None:
        if (parent and os.getppid() != parent) or (end is not None and time.monotonic() >= end):
            os.kill(child, signal.SIGKILL)
        for descriptor, _ in events.poll(None if end is None else 100):
            if descriptor == signals:
                os.read(signals, 512)
            else:
                events.unregister(channel)
                end = time.monotonic() + TEARDOWN_S
    return status


def _woken() -> int:
    """A descriptor that can be read when a signal has come."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in _SIGNALS:
        signal.signal(number, lambda *_: None)
    return reading


def _reaped(child: int) -> Optional[int]:
    """Collect all that have ended, orphans too; the wait status of `child` if it is among them."""
    found = None
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return found
            found = status if pid == child else found
    except ChildProcessError:  # none is left
        return found or 0


def _end_helpers() -> None:
    """Wait until nobody is left below; kill who does not leave by itself."""
    began = time.monotonic()
    while (waited := time.monotonic() - began) < STUCK_S and _any_left():
        if waited > HELPERS_S:
            for pid in descendants(os.getpid()):
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _any_left() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _end_as(status: int) -> NoReturn:
    """End with the exit status, or by the signal, of the stage process."""
    if os.WIFSIGNALED(status):
        end_by(os.WTERMSIG(status))
    os._exit(os.WEXITSTATUS(status))
