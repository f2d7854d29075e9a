"""Commands typed on a terminal of some width, in this very process: what it shows, line by line."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress

import pytest
from shell import Shell

from hpcurate.cli.main import run


class Screen:
    """What was written to a terminal."""

    def __init__(self) -> None:
        self._read = b""

    def take(self, master: int) -> None:
        """Read until the other end is closed."""
        while block := _read(master):
            self._read += block

    @property
    def raw(self) -> str:
        """With the sequences for colours."""
        return self._read.decode().replace("\r\n", "\n")

    @property
    def lines(self) -> list[str]:
        """Without them."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.raw).splitlines()


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65536)
    except OSError:  # nobody has the other end any more
        return b""


@contextmanager
def terminal(columns: int) -> Iterator[Screen]:
    """stdout and stderr are one, so wide; afterwards the screen shows what was written."""
    screen = Screen()
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    reader = threading.Thread(target=screen.take, args=(master,))
    reader.start()
    try:
        with open(slave, "wb", buffering=0) as raw:
            out = io.TextIOWrapper(raw, encoding="utf-8", write_through=True)
            with redirect_stdout(out), redirect_stderr(out):
                yield screen
    finally:
        reader.join(10)
        os.close(master)


def typed_on_terminal(shell: Shell, *words: str, columns: int, **env: str) -> Screen:
    """Type `hpcurate WORDS` in the shell's folder."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "SLURM_CONF", "HPCURATE_STORE"):
            patch.delenv(name, raising=False)
        for name, value in {**shell.environment, "TERM": "xterm", **env}.items():
            patch.setenv(name, value)
        patch.chdir(shell.cwd)
        with terminal(columns) as screen, suppress(SystemExit):  # argparse's --help
            patch.setattr(sys, "__stdout__", sys.stdout)
            run(words)
    return screen
