"""One run of a program: started, its output passed on, waited for, and all that it leaves behind ended. Python 3.9."""

from __future__ import annotations

import errno
import os
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

from hpcurate.errors import ProgramFailed, ProgramKilled, ProgramNotFound

LINES, LONGEST = 20, 4000
"""Of the end of its output: lines, and characters, that a dead letter keeps."""
LOGGED, LOGGED_PER_S = 256 * 1024, 1024
"""Bytes of its output that the worker's log takes: so many, and so many more each second. The rest is left out."""
BLOCK, PIPE = 1 << 16, 1 << 20
LOOK_S = 0.05
"""How often it is looked whether the program has ended while something else holds its output open."""
_NOT_A_PROGRAM = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ENOEXEC, errno.EISDIR)


def run_program(argv: Sequence[str], folder: str, variables: Mapping[str, str]) -> tuple[int, str]:
    """(exit code, the end of its output). It runs in `folder`, with `variables` and nothing else.

    Raises ProgramNotFound, and ProgramKilled where a signal ended it. Nothing of it is left, whatever happens.
    """
    try:
        process = subprocess.Popen(
            list(argv), cwd=folder, env=dict(variables), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True, bufsize=0,
        )  # fmt: skip
    except ValueError as error:  # a null byte
        raise ProgramFailed(f"{argv[0]}: cannot be started: {error}", shown(argv)) from None
    except OSError as error:
        if error.errno not in _NOT_A_PROGRAM:
            raise
        raise ProgramNotFound(f"{argv[0]}: {error.strerror}; looked for in PATH", shown(argv)) from None
    output = _Output()
    with process.stdout as pipe:  # type: ignore[union-attr]
        try:
            _follow(process, pipe, output)
        finally:
            _end(process)
        _rest(pipe, output)
    output.close()
    if process.returncode < 0:
        raise ProgramKilled(-process.returncode, f"{shown(argv)}\n{output.end()}")
    return process.returncode, output.end()


def shown(argv: Sequence[str]) -> str:
    """The command as a line that can be pasted into a shell."""
    return shlex.join(argv)


def _follow(process: subprocess.Popen[bytes], pipe: IO[bytes], output: _Output) -> None:
    """Until it has ended. Others may hold its output open for longer."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while process.poll() is None:
        if poll.poll(LOOK_S * 1000):
            data = os.read(pipe.fileno(), BLOCK)
            if not data:
                process.wait()
            output.feed(data)


def _rest(pipe: IO[bytes], output: _Output) -> None:
    """What it had printed and nobody has read yet; no more than a pipe holds: others may still write."""
    os.set_blocking(pipe.fileno(), False)
    with suppress(BlockingIOError):
        for _ in range(PIPE // BLOCK):
            output.feed(os.read(pipe.fileno(), BLOCK))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill it and all of its session."""
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class _Output:
    """What a program prints: passed on within bounds, and its end kept."""

    def __init__(self) -> None:
        self._began, self._passed, self._left_out, self._end = time.monotonic(), 0, 0, b""

    def feed(self, data: bytes) -> None:
        """Some more of it."""
        self._end = (self._end + data)[-BLOCK:]
        room = LOGGED + int(LOGGED_PER_S * (time.monotonic() - self._began)) - self._passed
        if self._left_out or len(data) > room:
            self._left_out += len(data)
            return
        self._passed += len(data)
        _pass_on(data)

    def close(self) -> None:
        """At the end of it."""
        if self._left_out:
            _pass_on(f"\n[… {self._left_out} bytes of output are left out; it ends with:]\n{self.end()}\n".encode())

    def end(self) -> str:
        """Its last lines."""
        text = self._end.decode("utf-8", "replace").rstrip()
        return "\n".join(text.splitlines()[-LINES:])[-LONGEST:]


def _pass_on(data: bytes) -> None:
    """To where the stage itself prints."""
    stream: Any = sys.stdout
    with suppress(OSError, ValueError):
        if hasattr(stream, "buffer"):
            stream.flush()
            stream.buffer.write(data)
        else:  # a notebook's
            stream.write(data.decode("utf-8", "replace"))
        stream.flush()
