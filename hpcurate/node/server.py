"""The folder of a server on its node, and how a stage process finds the server. Python 3.9.

    lock         held by the guard that keeps the server: one of those that all workers have
    state.json   where the server is, once it is ready; or why there will be none. Valid while the lock is held
    answered     its time: when a stage process last had an answer
    door, asking held by who asks: see `asking`

All of it only this user can read: `state.json` has the server's key.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Callable, Optional

import msgspec

from hpcurate.errors import SetupLost
from hpcurate.masks import keep

KEY = "HPCURATE_SERVER_KEY"
"""Variable that has the key for the server, and the name for it in logs."""
POLL_S = 0.1
"""Between two looks at a server that is not there yet."""
SAME_S = 3.0
"""How long a server that a question was lost at may still be the node's: its guard sees sooner that it has ended."""
NOBODY_S = 120.0
"""How long nobody may keep the server: a guard takes so long to start, at most, where an environment is slow."""
TOUCH_S = 0.5
"""Between two marks that the server answers."""


class ServerState(msgspec.Struct, frozen=True):
    """Content of `state.json`."""

    url: str = ""
    """`http://127.0.0.1:PORT`; empty: it is not ready."""
    key: str = ""
    """Random, of this start: sent as a bearer token."""
    keeper: str = ""
    """Random, of the guard. Two servers of one keeper: the first has died. Else its worker may have left."""
    failed: str = ""
    """Why it is not started again."""


class ServerFolder(msgspec.Struct, frozen=True):
    """The folder of one server of this node."""

    path: str

    def _file(self, name: str) -> str:
        return os.path.join(self.path, name)

    def state(self) -> Optional[ServerState]:
        """What the guard that keeps the server says; None where nobody keeps it."""
        descriptor = self._locked(fcntl.LOCK_SH)
        if descriptor is not None:
            os.close(descriptor)
            return None
        with suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(Path(self._file("state.json")).read_bytes(), type=ServerState)
        return ServerState()

    def answered(self) -> None:
        """The server has answered a question."""
        with suppress(OSError):
            os.close(os.open(self._file("answered"), os.O_WRONLY | os.O_CREAT, 0o600))
            os.utime(self._file("answered"))

    def last_answer(self) -> float:
        """When it last did, in seconds since 1970; 0: never."""
        try:
            return os.stat(self._file("answered")).st_mtime
        except OSError:
            return 0.0

    @contextmanager
    def asking(self, alone: bool) -> Iterator[None]:
        """Hold it while a question is asked: beside others of this node, or alone, before all that come later."""
        how = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        with ExitStack() as stays, ExitStack() as passes:
            (stays if alone else passes).callback(os.close, self._waited_for("door", how))
            stays.callback(os.close, self._waited_for("asking", how))
            passes.close()
            yield

    def _waited_for(self, name: str, how: int) -> int:
        """A descriptor that holds the lock."""
        descriptor = self._opened(name)
        fcntl.flock(descriptor, how)
        return descriptor

    def _opened(self, name: str) -> int:
        """A descriptor of the file, which is made. Whoever keeps the server removes it in the end."""
        while True:
            os.makedirs(self.path, mode=0o700, exist_ok=True)
            with suppress(FileNotFoundError):  # removed since
                return os.open(self._file(name), os.O_RDWR | os.O_CREAT, 0o600)

    # -- for guards ---------------------------------------------------------------------------------

    @contextmanager
    def kept(self, wait: Callable[[], object]) -> Iterator[None]:
        """Be the one that keeps the server. `wait` is called until then, again and again."""
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        while (descriptor := self._locked(fcntl.LOCK_EX)) is None:
            wait()
        try:
            self.write(ServerState())
            yield
        finally:
            self._remove()
            os.close(descriptor)

    def clear(self) -> None:
        """Remove what a guard that was killed has left, where nobody keeps the server."""
        if os.path.isdir(self.path) and (descriptor := self._locked(fcntl.LOCK_EX)) is not None:
            self._remove()
            os.close(descriptor)

    def _remove(self) -> None:
        """The lock last: as soon as its name is gone, the folder is somebody else's."""
        for name in ("state.json.new", "state.json", "answered", "door", "asking", "lock"):
            with suppress(OSError):
                os.unlink(self._file(name))
        with suppress(OSError):  # somebody waits for it
            os.rmdir(self.path)

    def write(self, state: ServerState) -> None:
        """Replace the state."""
        new = self._file("state.json.new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(msgspec.json.encode(state))
        os.replace(new, self._file("state.json"))

    def _locked(self, how: int) -> Optional[int]:
        """A descriptor that holds the lock; None where another one does. Whoever lets go removes the file."""
        while True:
            descriptor = self._opened("lock")
            try:
                fcntl.flock(descriptor, how | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_nlink:
                    return descriptor
            except BlockingIOError:
                os.close(descriptor)
                return None
            os.close(descriptor)


class ServerOnNode:
    """The node's server, as a stage process sees it. Threads may share it."""

    def __init__(self, folder: str) -> None:
        self._folder = ServerFolder(folder)
        self.asking = self._folder.asking
        self._marked = 0.0

    def where(self, lost: str = "") -> ServerState:
        """Its address and key, waited for until it is ready. Raises SetupLost: let it through, no task is to blame.

        `lost` is the address at which a question found nobody, or lost its answer: likely there is another one soon.
        """
        began = kept = time.monotonic()
        while (now := time.monotonic()) - kept < NOBODY_S:
            state = self._folder.state()
            kept = kept if state is None else now
            if state is not None and state.failed:
                raise SetupLost(state.failed)
            if state is not None and state.url and (state.url != lost or now - began > SAME_S):
                keep(KEY, state.key)
                return state
            time.sleep(POLL_S)
        raise SetupLost(f"nobody has kept the server of this node for {NOBODY_S:.0f} s; its worker's log has more")

    def answered(self) -> None:
        """Call it after each good answer: a server that answers does not hang, and is worth another start."""
        if time.monotonic() - self._marked > TOUCH_S:
            self._marked = time.monotonic()
            self._folder.answered()
