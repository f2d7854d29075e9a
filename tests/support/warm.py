"""Command lines of hpcurate, each in a fork of one process that has imported it: a second of CPU less for each.

As a program it is that process: it reads a request a line, and answers with the exit status. What is typed has its own
current folder and environment, and inherits nothing else: see `Warm.type`.
"""

from __future__ import annotations

import importlib
import json
import os
import selectors
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

TIMEOUT_S = 60
IMPORTED = ("hpcurate.cli.start.launch", "hpcurate.cli.start.compose", "hydra.core.override_parser.overrides_parser",
            "av", "PIL.Image")  # fmt: skip


class Warm:
    """Types commands in a folder; what they print goes through files there. `close` ends the process."""

    def __init__(self, folder: Path) -> None:
        self._out, self._err = folder / "out.txt", folder / "err.txt"
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )

    def type(self, words: list[str], cwd: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run([python, "-m", "hpcurate", *words])`; variables that only a starting Python reads are late."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        request = {
            "words": words, "cwd": str(cwd), "environment": environment, "out": str(self._out), "err": str(self._err),
        }  # fmt: skip
        self._server.stdin.write(json.dumps(request).encode() + b"\n")
        self._server.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(self._server.stdout, selectors.EVENT_READ)
            assert selector.select(TIMEOUT_S), f"hpcurate {words} takes more than {TIMEOUT_S} s"
        status = int(self._server.stdout.readline())
        return subprocess.CompletedProcess(words, status, self._out.read_text(), self._err.read_text())

    def close(self) -> None:
        """With whatever it still types."""
        os.killpg(self._server.pid, signal.SIGKILL)
        self._server.communicate()


def typed(request: dict[str, Any]) -> int:
    """In the child: what `python -m hpcurate` does."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for number, name in enumerate((os.devnull, request["out"], request["err"])):
        file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    sys.path[0] = request["cwd"]
    sys.argv = ["hpcurate", *request["words"]]
    from hpcurate.__main__ import main

    return main()


def serve() -> int:
    """Fork for each request, until there is none."""
    from hpcurate.cli.main import VERBS

    for name in (*VERBS.values(), *IMPORTED):
        importlib.import_module(name)
    for line in sys.stdin.buffer:
        child = os.fork()
        if not child:
            return typed(json.loads(line))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.write(1, b"%d\n" % status)
    return 0


if __name__ == "__main__":
    sys.exit(serve())
