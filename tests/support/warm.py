"""Command lines of hpcurate, each in a fork of one process that has imported it: 0.6 s of CPU less for each.

As a program it is that process: it reads a request a line, and answers with the exit status. What is typed has its own
current folder and environment, and inherits nothing else: see `Warm.type`.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TIMEOUT_S = 120
IMPORTED = ("hpcurate.cli.start.launch", "hpcurate.cli.start.compose", "hydra.core.override_parser.overrides_parser",
            "av", "PIL.Image")  # fmt: skip


class Warm:
    """Types commands in a folder; what they print goes through files there. `close` ends its process."""

    def __init__(self, folder: Path) -> None:
        self._out, self._err = folder / "out.txt", folder / "err.txt"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def _server(self) -> subprocess.Popen[bytes]:
        """Started with the first command."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
        return self._process

    def type(
        self, words: Sequence[str | bytes], cwd: Path, environment: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run([python, "-m", "hpcurate", *words])`; variables that only a starting Python reads are late."""
        typed = [os.fsdecode(word) for word in words]
        request = {
            "words": typed, "cwd": str(cwd), "environment": environment, "out": str(self._out), "err": str(self._err),
        }  # fmt: skip
        try:
            status = self._answer(json.dumps(request).encode() + b"\n")
        except BaseException:  # the next command is not to get this one's answer
            self.close()
            raise
        printed = [path.read_text(errors="surrogateescape") for path in (self._out, self._err)]
        return subprocess.CompletedProcess(typed, status, *printed)

    def _answer(self, request: bytes) -> int:
        stdin, stdout = self._server.stdin, self._server.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(request)
        stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            assert selector.select(TIMEOUT_S), f"it takes more than {TIMEOUT_S} s"
        return int(stdout.readline())

    def close(self) -> None:
        """With whatever it still types."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None


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


def look_ahead() -> None:
    """What each run looks up first, and keeps: imports of the code that is frozen with it, and Hydra's plugins."""
    from hydra.core.plugins import Plugins

    from hpcurate.planning.modules import imported_names

    for name in ("launchers", "stages"):
        for path in (Path(__file__).parents[2] / name).rglob("*.py"):
            imported_names(path.read_bytes(), None)
    Plugins.instance()


def serve() -> int:
    """Fork for each request, until there is none."""
    from hpcurate.cli.main import VERBS

    for name in (*VERBS.values(), *IMPORTED):
        importlib.import_module(name)
    sys.dont_write_bytecode = True  # of code that a test edits twice within a second
    look_ahead()
    gc.collect()
    gc.freeze()  # what is imported is nobody's garbage: no child looks through it
    for line in sys.stdin.buffer:
        child = os.fork()
        if not child:
            return typed(json.loads(line))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.write(1, b"%d\n" % status)
    return 0


if __name__ == "__main__":
    sys.exit(serve())
