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
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import msgspec

from hpcurate.errors import ProgramFailed, ProgramKilled, ProgramNotFound, StillWriting
from hpcurate.masks import mask
from hpcurate.system.processes import nonce, start_time, writers_under

RAN = "$ "
"""Before the command, in the details of what failed."""
LINES, LONGEST = 20, 4000
"""Of the end of its output: lines, and characters, that a dead letter keeps."""
LOGGED, LOGGED_PER_S = 256 * 1024, 1024
"""Bytes of its output that the worker's log takes: so many, and so many more each second. The rest is left out."""
BLOCK, PIPE = 1 << 16, 1 << 20
LOOK_S = 0.05
"""How often it is looked whether the program has ended while something else holds its output open."""
SETTLE_S = 0.5
"""How long what it leaves behind may take to end by itself."""
KILL_S = 5.0
"""How long it is killed: what waits for a file server that is gone may never leave."""
MARK = "HPCURATE_PROGRAM"
"""Variable by which the processes that a program has started are known, also in sessions of their own."""
_NOT_A_PROGRAM = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ENOEXEC, errno.EISDIR, errno.ELOOP)


class Program(msgspec.Struct, frozen=True):
    """What is to be run."""

    argv: Sequence[str]
    folder: str
    """Where."""
    variables: Mapping[str, str]
    """All that it finds in its environment."""
    shown: str
    """The command as a line that can be pasted into a shell."""
    writes: Sequence[str] = ()
    """Folders in which nobody may write once it has ended."""

    def failed(self, message: str, end: str = "", kind: type[ProgramFailed] = ProgramFailed) -> ProgramFailed:
        """What to raise for it."""
        return kind(f"{os.path.basename(self.argv[0])}: {message}", self.ran(end))

    def ran(self, end: str) -> str:
        """The command and the end of its output, as a dead letter has them."""
        return f"{RAN}{self.shown}\n{end}".rstrip()


def in_shell(argv: Sequence[str], variables: Mapping[str, str]) -> str:
    """The command as a shell takes it."""
    before = ["env", *(f"{name}={value}" for name, value in variables.items())] if variables else []
    return shlex.join([*before, *argv])


def last_line(end: str) -> str:
    """The last line of its output, to follow what is said."""
    last = end.rpartition("\n")[2]
    return f": {last}" if last else ""


def run_program(program: Program) -> tuple[int, str]:
    """(exit code, the end of its output). Nothing of it is left, whatever happens.

    Raises ProgramNotFound, StillWriting, and ProgramKilled where a signal ended it.
    """
    mark = nonce(8)
    process, output = _started(program, mark), _Output()
    with process.stdout as pipe:  # type: ignore[union-attr]
        try:
            _follow(process, pipe, output)
        finally:
            writing = _end(process, mark, program.writes)
            _rest(pipe, output)
            output.close()
    if process.returncode < 0:
        killed = program.failed(f"killed by {_name(-process.returncode)}{last_line(output.end())}", output.end())
        raise ProgramKilled(-process.returncode, str(killed), killed.details)
    if writing:
        raise program.failed(f"it ended, and left {writing} behind, which still wrote", output.end(), StillWriting)
    return process.returncode, output.end()


def _started(program: Program, mark: str) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            list(program.argv), cwd=program.folder, env={**program.variables, MARK: mark}, bufsize=0,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    except ValueError as error:  # a null byte
        raise program.failed(f"cannot be started: {error}") from None
    except OSError as error:
        if error.errno == errno.E2BIG:
            raise program.failed(f"cannot be started: {error.strerror}; give what is long in a file") from None
        if error.errno not in _NOT_A_PROGRAM:
            raise
        raise program.failed(f"cannot be started: {error.strerror}", kind=ProgramNotFound) from None


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
    """What was printed and nobody has read yet; no more than a pipe holds."""
    os.set_blocking(pipe.fileno(), False)
    with suppress(BlockingIOError):
        for _ in range(PIPE // BLOCK):
            output.feed(os.read(pipe.fileno(), BLOCK))


def _end(process: subprocess.Popen[bytes], mark: str, folders: Sequence[str]) -> str:
    """Kill it if it still runs, and what it left behind; the one of these that still wrote there, or empty."""
    if process.poll() is None:
        process.kill()
        process.wait()
    deadline = time.monotonic() + (SETTLE_S if process.returncode == 0 else 0.0)
    while (left := _left(process.pid, mark)) and time.monotonic() < deadline:
        time.sleep(LOOK_S / 5)
    names = {pid: f"process {pid} ({_command(pid)})" for pid in left}
    if names:
        print(f"left behind by process {process.pid}, and ended now: {', '.join(names.values())}", flush=True)
    writing = next((names[pid] for folder in folders for pid, _ in writers_under(folder, left)), "")
    _kill(left, process.pid, mark)
    return writing


def _kill(left: list[int], session: int, mark: str) -> None:
    deadline = time.monotonic() + KILL_S
    while left and time.monotonic() < deadline:
        for pid in left:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(LOOK_S / 5)
        left = _left(session, mark)


def _left(session: int, mark: str) -> list[int]:
    """Pids that live of its session, and of those that have left it."""
    wanted = f"{MARK}={mark}".encode()
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return [pid for pid in pids if pid != session and _belongs(pid, session, wanted) and start_time(pid) is not None]


def _belongs(pid: int, session: int, wanted: bytes) -> bool:
    with suppress(OSError):  # it has ended, or is another user's
        if os.getsid(pid) == session:
            return True
        return pid > session and wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    return "?"


def _name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


class _Output:
    """What a program prints: passed on within bounds, and its end kept."""

    def __init__(self) -> None:
        self._began, self._passed, self._left_out = time.monotonic(), 0, 0
        self._end, self._line = b"", b""

    def feed(self, data: bytes) -> None:
        """Some more of it. Only whole lines are left out, so that no part of a secret is passed on."""
        self._end = (self._end + data)[-BLOCK:]
        data = self._line + data
        cut = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1 or (len(data) if len(data) > BLOCK else 0)
        self._line = data[cut:]
        self._take(data[:cut])

    def _take(self, data: bytes) -> None:
        room = LOGGED + int(LOGGED_PER_S * (time.monotonic() - self._began)) - self._passed
        if len(data) > room or (self._left_out and room < BLOCK):
            self._left_out += len(data)
            return
        self._mention("")
        self._passed += len(data)
        _pass_on(data)

    def close(self) -> None:
        """At the end of it."""
        self._take(self._line)
        self._mention(f"its end:\n{self.end()}\n")

    def end(self) -> str:
        """Its last lines."""
        text = mask(self._end.decode("utf-8", "replace")).rstrip()
        return "\n".join(text.splitlines()[-LINES:])[-LONGEST:]

    def _mention(self, more: str) -> None:
        if self._left_out:
            _pass_on(f"\n[{self._left_out} bytes of output are left out here]\n{more}".encode())
        self._left_out = 0


def _pass_on(data: bytes) -> None:
    """To where the stage itself prints."""
    stream: Any = sys.stdout
    with suppress(OSError, ValueError):
        stream.flush()
        if hasattr(stream, "buffer"):
            stream.buffer.write(data)
        else:  # a notebook's
            stream.write(data.decode("utf-8", "replace"))
        stream.flush()


def own_crash(number: int) -> bool:
    """Whether a program that ends by this signal has caused it itself."""
    return number in _CRASHES


_CRASHES: Collection[int] = frozenset(
    (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS)
)
