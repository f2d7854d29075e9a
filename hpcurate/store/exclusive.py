"""One process at a time on something in the store that takes long: fetching a model, building an environment.

Turns are claims (I4): numbered files, each created exclusively and never deleted; turn n+1 begins only when turn n has
ended by evidence. A file that is deleted and made again excludes nobody: who read the old one deletes the new one.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import msgspec

from hpcurate.errors import StoreError
from hpcurate.failures import Ending
from hpcurate.store.access import private_files, settle
from hpcurate.store.claims import Latest, LeaseWatch, latest_attempts
from hpcurate.store.filesystem import POSIX
from hpcurate.system.beats import Beating
from hpcurate.system.clock import SystemClock
from hpcurate.system.processes import ProcessIdentity, SystemProcesses

BEAT_S = 5.0
"""How often whoever has the turn raises its counter."""
LEASE_S = 120.0
"""How long the counter of a process of another machine must stand still before its turn counts as over."""


@contextmanager
def exclusive(target: str, doing: str, *, lease_s: float = LEASE_S) -> Iterator[int]:
    """Have a turn at making `target`; its number, which nobody else ever has.

    Raises StoreError while another process has one. A process of another machine that vanished is waited out.
    """
    turns = _Turns(target, doing, lease_s)
    number = turns.take()
    sign = turns.sign(number)
    sign.start()
    try:
        with private_files():
            yield number
    finally:
        sign.stop()
        turns.end(number)


def publish(part: str, target: str) -> None:
    """Give a finished folder its name, unless another was first: then ours goes. It is never seen half."""
    settle(part)
    try:
        POSIX.rename(part, target)
    except OSError:
        if not os.path.isdir(target):
            raise
        shutil.rmtree(part, ignore_errors=True)


class _Turns(msgspec.Struct, frozen=True):
    target: str
    doing: str
    lease_s: float

    def take(self) -> int:
        """The number of our turn. Raises StoreError."""
        POSIX.make_folders(self._folder)
        me = json.dumps(msgspec.to_builtins(SystemProcesses().mine())).encode() + b"\n"
        while True:
            last = self._last()
            if last.ending is None and not self._has_ended(last.attempt):
                raise StoreError(self._refusal(last.attempt))
            if POSIX.create(self._path(last.attempt + 1), me):
                return last.attempt + 1

    def end(self, number: int) -> None:
        """Whoever comes next need not look for us."""
        with suppress(OSError):
            POSIX.create(f"{self._path(number)}.{Ending.FREE.value}", b"")

    def sign(self, number: int) -> Beating:
        """Raises the counter of our turn."""
        path = self._beat(number)
        return Beating(SystemClock(), lambda count: POSIX.beat(path, b"%012d\n" % count), self._every_s)

    @property
    def _every_s(self) -> float:
        return min(BEAT_S, self.lease_s / 10)

    # -- the turn before ------------------------------------------------------------------------------

    def _last(self) -> Latest:
        none = Latest(0, Ending.FREE)
        return latest_attempts(POSIX.names(self._folder)).get(os.path.basename(self.target), none)

    def _has_ended(self, number: int) -> bool:
        """From evidence: its process is gone, or, where only its counter can be seen, that stands still for a lease."""
        owner = self._owner(number)
        lives = SystemProcesses().alive(owner) if owner else None
        return not lives if lives is not None else self._stands_still(number)

    def _stands_still(self, number: int) -> bool:
        watch, every = LeaseWatch(self.lease_s), self._every_s
        first = self._counter(number)
        last = gapless_since = time.monotonic()
        while self._counter(number) == first and self._last() == Latest(number):
            now = time.monotonic()
            gapless_since = now if now - last > 3 * every else gapless_since  # we stood still ourselves
            last = now
            if watch.stood_still(self.target, first, now, gapless_since):
                return True
            time.sleep(every)
        return self._last() != Latest(number)

    def _owner(self, number: int) -> ProcessIdentity | None:
        with suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(POSIX.read(self._path(number)), type=ProcessIdentity)
        return None

    def _counter(self, number: int) -> bytes:
        with suppress(FileNotFoundError):
            return POSIX.read(self._beat(number))
        return b""

    def _refusal(self, number: int) -> str:
        owner = self._owner(number)
        who = f"process {owner.pid} on {owner.host.split()[0]}" if owner else self._path(number)
        return f"{self.target}: another process is {self.doing} this now ({who}); wait for it, then type the same again"

    # -- paths ----------------------------------------------------------------------------------------

    @property
    def _folder(self) -> str:
        return os.path.join(os.path.dirname(self.target), ".turns")

    def _path(self, number: int) -> str:
        return os.path.join(self._folder, f"{os.path.basename(self.target)}.{number}")

    def _beat(self, number: int) -> str:
        return f"{self._path(number)}.beat"
