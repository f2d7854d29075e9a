"""Commands as a person types them: one that answers, and one that goes on by itself. No shell is in between."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence

import attrs
import msgspec

from hpcurate.form.command import Asked
from hpcurate.masks import mask
from hpcurate.system.processes import ProcessIdentity

__all__ = ["Answer", "Answers", "begin"]

HPCURATE = (sys.executable, "-m", "hpcurate")
AT_ONCE = 2
"""Commands that are waited for; others wait for these."""
ANSWER_S = 600.0
"""How long a command that answers may take: a dry run lists the whole input."""


class Answer(msgspec.Struct, frozen=True):
    """What a command printed, with secrets masked, and its exit status."""

    status: int
    text: str
    """Of stdout."""
    said: str
    """Of stderr."""


@attrs.define
class Answers:
    """Commands that are waited for; they end with us."""

    folder: str
    _running: set[subprocess.Popen[bytes]] = attrs.field(factory=set)
    _lock: threading.Lock = attrs.field(factory=threading.Lock)
    _turns: threading.Semaphore = attrs.field(factory=lambda: threading.Semaphore(AT_ONCE))
    _ended: bool = False

    def of(self, words: Sequence[str], more: Mapping[str, str] | None = None) -> Answer:
        """Type `hpcurate WORDS` with these further variables in its environment. Raises OSError."""
        with self._turns:
            return self._of(words, more or {})

    def _of(self, words: Sequence[str], more: Mapping[str, str]) -> Answer:
        process = subprocess.Popen(
            [*HPCURATE, *words], cwd=self.folder, env={**os.environ, **more},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._note(process)
        try:
            out, err = process.communicate(timeout=ANSWER_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return Answer(124, "", f"it took longer than {ANSWER_S:.0f} s; type the command in a terminal")
        finally:
            with self._lock:
                self._running.discard(process)
        return Answer(process.returncode, _text(out), _text(err))

    def _note(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._running.add(process)
            if self._ended:
                process.terminate()

    def end(self) -> None:
        """Nobody waits for them any more."""
        with self._lock:
            self._ended = True
            for process in self._running:
                process.terminate()


def _text(data: bytes) -> str:
    return mask(data.decode("utf-8", "replace"))


def begin(asked: Asked, folder: str, log: str, values: Mapping[str, str]) -> ProcessIdentity:
    """Start the command in a session of its own, which nothing that happens to us ends.

    What it prints goes through a process that masks these values, into the file `log`. Raises OSError.
    """
    environment = {**os.environ, **values}
    reading, writing = os.pipe()
    try:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "hpcurate.form.kept", log, *values], cwd=folder, env=environment,
            stdin=reading, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        folders = [word for one in asked.config_dirs for word in ("--config-dir", one)]
        process = subprocess.Popen(
            [*HPCURATE, *asked.words, *folders], cwd=folder, env=environment,
            stdin=subprocess.DEVNULL, stdout=writing, stderr=writing, start_new_session=True,
        )  # fmt: skip
    finally:
        os.close(reading)
        os.close(writing)
    identity = ProcessIdentity.of(process.pid)  # before it is reaped
    threading.Thread(target=_reap, args=(process, keeper), daemon=True).start()
    return identity


def _reap(*processes: subprocess.Popen[bytes]) -> None:
    """A process that has ended is seen to have ended only when its parent has asked."""
    for process in processes:
        process.wait()
