"""What the processes of a worker print: a pipe that all of them have, and its lines, one after the other."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress

__all__ = ["LONGEST", "Printed"]

LONGEST = 10_000
"""Bytes of a line that are passed on."""
BLOCK = 65_536
HEAR_S = 2.0
"""How long `hear_all` listens to processes that never stop printing."""


class Printed:
    """Lines as they are printed; of a bar that is drawn again and again the last, none that is empty."""

    def __init__(self, heard: Callable[[str], None], name: str) -> None:
        """`heard` is called with one line at a time, from a thread of its own or from who calls `hear_all`."""
        self._heard = heard
        self._read, self.descriptor = os.pipe()
        os.set_blocking(self._read, False)
        self._rest, self._cut = b"", False
        """Of the line that has not ended, and whether what comes of it is dropped."""
        self._taking = threading.Lock()
        threading.Thread(target=self._listen, name=name, daemon=True).start()

    def hear_all(self) -> None:
        """Pass on what was printed by now, also a line that has not ended."""
        end = time.monotonic() + HEAR_S
        with self._taking:
            while self._take() and time.monotonic() < end:
                pass
            self._say(self._rest)
            self._rest, self._cut = b"", False

    def close(self) -> None:
        """No process is given it any more; what those print that still have it is passed on."""
        with suppress(OSError):
            os.close(self.descriptor)

    def _listen(self) -> None:
        """Until nobody has the pipe any more."""
        while True:
            select.select([self._read], [], [])
            with self._taking:
                if self._take() is None:
                    os.close(self._read)
                    return

    def _take(self) -> bool | None:
        """Whether there was something; None at the end of all."""
        try:
            data = os.read(self._read, BLOCK)
        except BlockingIOError:
            return False
        except OSError:  # it is closed
            return None
        if not data:
            return None
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._say(self._rest + line)
            self._rest, self._cut = b"", False
        if not self._cut:
            self._rest += rest
            self._cut = len(self._rest) > LONGEST
        return True

    def _say(self, line: bytes) -> None:
        text = line.rpartition(b"\r")[2][:LONGEST].decode("utf-8", "replace")
        if text:
            self._heard(text)
