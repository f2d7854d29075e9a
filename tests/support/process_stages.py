"""Stages that leave processes, descriptors and maps behind, or write where they should not."""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from engine_stages import Number

from hpcurate import Stage

WRITES = "import sys, time\nwith open(sys.argv[1], 'a') as file:\n    while True:\n        file.write('x'); file.flush(); time.sleep(0.01)"
DAEMON = "import os, sys\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\nopen(sys.argv[1], 'a').write(f'{os.getpid()}\\n')\n"


class Odd(Stage[Number, Number]):
    """Does the odd thing that its name says, at value 2; `notes` is a file that it may write pids to."""

    version = 1
    batch_size = 1

    def __init__(self, what: str, notes: str = "") -> None:
        self.what, self.notes = what, notes

    def setup(self, worker: object) -> None:
        """Some things go wrong here."""
        if self.what == "setup_exit":
            sys.exit(0)
        if self.what == "setup_hang":
            _hang(self, Number(id="x", value=0))
        if self.what == "setup_garbage":
            _garbage(self, Number(id="x", value=0))

    def prepare(self, task: Number) -> None:
        """Or here."""
        if self.what in PREPARES and task.value == 2:
            PREPARES[self.what](self, task)

    def process(self, tasks: list[Number]) -> list[Number]:
        """One odd thing; the rest passes."""
        for task in tasks:
            if task.value == 2 and self.what in ODD:
                ODD[self.what](self, task)
        return tasks

    def teardown(self) -> None:
        """Or in the end."""
        if self.what == "teardown_exit":
            sys.exit(0)

    def note(self, pid: int) -> None:
        """Write down a process."""
        with open(self.notes, "a") as file:
            file.write(f"{pid}\n")


def _pool(stage: Odd, task: Number) -> None:
    pool = ProcessPoolExecutor(2, mp_context=get_context("fork"))
    for pid in set(pool.map(_slow, range(8))):
        stage.note(pid)
    os.kill(os.getpid(), signal.SIGKILL)


def _slow(_: int) -> int:
    time.sleep(0.05)
    return os.getpid()


def _helpers(stage: Odd, task: Number) -> None:
    stage.note(os.getpid())
    stage.note(subprocess.Popen(["sleep", "600"]).pid)
    stage.note(subprocess.Popen(["sleep", "600"], start_new_session=True).pid)
    subprocess.run([sys.executable, "-c", DAEMON + "os.execlp('sleep', 'sleep', '600')", stage.notes], check=True)


def _crash(stage: Odd, task: Number) -> None:
    _helpers(stage, task)
    os.kill(os.getpid(), signal.SIGSEGV)


def _stay(stage: Odd, task: Number) -> None:
    _helpers(stage, task)
    time.sleep(600)


def _hang(stage: Odd, task: Number) -> None:
    """With a stopped program, one that ignores SIGTERM and a daemon; then in native code that holds Python's lock."""
    _helpers(stage, task)
    stage.note(subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 600; sleep 600"], start_new_session=True).pid)
    stopped = subprocess.Popen(["sleep", "600"])
    os.kill(stopped.pid, signal.SIGSTOP)
    stage.note(stopped.pid)
    ctypes.PyDLL(None).sleep(600)


def _stopped(stage: Odd, task: Number) -> None:
    stage.note(os.getpid())
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(600)


def _memory(stage: Odd, task: Number) -> None:
    stage.note(os.getpid())
    bytearray(1 << 60)


def _eats(stage: Odd, task: Number) -> None:
    stage.note(os.getpid())
    bytearray(400 << 20)


def _program_eats(stage: Odd, task: Number) -> None:
    subprocess.run([sys.executable, "-c", "bytearray(400 << 20)"], check=True)


def _killed(stage: Odd, task: Number) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _flaky(stage: Odd, task: Number) -> None:
    stage.note(os.getpid())
    with open(stage.notes) as notes:
        if len(notes.readlines()) < 3:
            raise ConnectionResetError("the server hung up")


def _helped(stage: Odd, task: Number) -> None:
    stage.note(os.getpid())
    stage.note(subprocess.Popen(["sleep", "600"]).pid)
    time.sleep(600)


def _daemon(stage: Odd, task: Number) -> None:
    path = stage.file(task, "daemon.txt")
    program = DAEMON.replace("sys.argv[1]", "sys.argv[2]") + WRITES
    subprocess.run([sys.executable, "-c", program, path, stage.notes], check=True)
    while not os.path.exists(path):
        time.sleep(0.01)


def _map(stage: Odd, task: Number) -> None:
    path = stage.file(task, "map.bin")
    with open(path, "wb") as file:
        file.write(b"0" * 4096)
    with open(path, "r+b") as file:
        stage.kept = mmap.mmap(file.fileno(), 0)  # type: ignore[attr-defined]
    for name in os.listdir("/proc/self/fd"):  # Python keeps a copy of the descriptor; other libraries do not
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}") == os.path.realpath(path):
                os.close(int(name))


def _sockets() -> list[int]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                found.append(int(name))
    return found


def _garbage(stage: Odd, task: Number) -> None:
    for number in _sockets():
        os.write(number, b"frame 17 of 300\n")


def _message(stage: Odd, task: Number) -> None:
    for number in _sockets():
        os.write(number, json.dumps({"type": "Refused", "error": "E", "message": "m"}).encode() + b"\n")


def _small(stage: Odd, task: Number) -> None:
    for number in [number for number in _sockets() if number < 200]:
        os.write(number, b"oops\n")
        os.close(number)


class AcceleratorError(RuntimeError):
    """Named as torch's own."""


def _gpu_lost(stage: Odd, task: Number) -> None:
    stage.note(os.getpid())
    raise AcceleratorError("CUDA error: an illegal memory access was encountered")


def _exit(stage: Odd, task: Number) -> None:
    sys.exit(0)


def _hard_exit(stage: Odd, task: Number) -> None:
    os._exit(0)


ODD: dict[str, Callable[[Odd, Number], None]] = {
    "pool": _pool, "helpers": _helpers, "crash": _crash, "stay": _stay, "helped": _helped, "daemon": _daemon, "map": _map,
    "garbage": _garbage, "message": _message, "small": _small, "exit": _exit, "hard_exit": _hard_exit,
    "gpu_lost": _gpu_lost, "hang": _hang, "stopped": _stopped, "memory": _memory, "eats": _eats,
    "program_eats": _program_eats, "killed": _killed, "flaky": _flaky,
}  # fmt: skip
PREPARES: dict[str, Callable[[Odd, Number], None]] = {
    "prepare_exit": _exit, "prepare_flaky": _flaky, "prepare_hang": _hang,
}  # fmt: skip
