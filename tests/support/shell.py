"""A folder to type commands in, as a user would."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import ClassVar

from warm import TIMEOUT_S, Warm

READ_AT_START = ("PYTHON", "LC_", "LANG", "HPCURATE_FAILPOINTS")
"""How variables begin that are read while Python starts, or hpcurate is imported."""
LOCAL = "launcher=local"


class Shell:
    """A current folder, a store, and a home of its own."""

    warm: ClassVar[Warm | None] = None
    """Types for all shells what does not depend on how Python starts."""

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.cwd = folder / "cwd"
        self.cwd.mkdir(exist_ok=True)
        self.python = python
        self.extra: dict[str, str] = {}

    @property
    def environment(self) -> dict[str, str]:
        """Ours, but nobody's Slurm, site profile or last store."""
        own = {"XDG_STATE_HOME": str(self.folder / "state"), "XDG_CONFIG_HOME": str(self.folder / "config")}
        left = ("SLURM_CONF", "HPCURATE_STORE", "PYTHONPATH")
        return {**{k: v for k, v in os.environ.items() if k not in left}, **own, **self.extra}

    def type(
        self, *words: str | bytes, status: int = 0, stdin: str | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Type `hpcurate WORDS` and expect an exit status."""
        done = self.typed(*words, stdin=stdin, **env)
        assert done.returncode == status, done.stderr + done.stdout
        return done

    def typed(self, *words: str | bytes, stdin: str | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        """With any exit status."""
        environment = {**self.environment, **env}
        if self.warm is None or stdin is not None or not self._starts_as_any(environment):
            return self.typed_afresh(*words, stdin=stdin, **env)
        return self.warm.type(words, self.cwd, environment)

    def typed_afresh(
        self, *words: str | bytes, stdin: str | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """In a Python of its own."""
        return subprocess.run(
            [self.python, "-m", "hpcurate", *words],
            cwd=self.cwd, env={**self.environment, **env}, input=stdin,
            capture_output=True, text=True, errors="surrogateescape", timeout=TIMEOUT_S, check=False,
        )  # fmt: skip

    @contextmanager
    def serving(self, *words: str, **env: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
        """(the first line that a server prints, its process), which is killed if it has not ended by then."""
        process = subprocess.Popen(
            [self.python, "-m", "hpcurate", *words],
            cwd=self.cwd, env={**self.environment, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert process.stdout
            yield process.stdout.readline(), process
        finally:
            process.kill()
            process.communicate()

    def served(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Type what serves, and end it with SIGTERM as soon as it has printed a line."""
        with self.serving(*words) as (first, process):
            process.terminate()
            out, err = process.communicate(timeout=TIMEOUT_S)
        return subprocess.CompletedProcess(list(words), process.returncode, first + out, err)

    def _starts_as_any(self, environment: dict[str, str]) -> bool:
        """Whether its Python would start as that of the tests."""
        changed = {name for name, _ in environment.items() ^ os.environ.items()}
        return self.python == sys.executable and not any(name.startswith(READ_AT_START) for name in changed)

    def run(self, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Type a run on this machine, into the store."""
        return self.type(*words, LOCAL, f"store={self.store}", status=status)

    def inline(self, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Type a run whose stages run in the command itself: where it does not matter who runs them, a third of CPU."""
        return self.type(*words, "launcher=inline", f"store={self.store}", status=status)

    def rows(self, stage: str, name: str = "tasks.jsonl") -> list[str]:
        """Committed rows of a stage, over all its folders."""
        found = sorted(self.store.glob(f"stages/{stage}-*/shards/*/[!.]*/{name}"))
        return [line for path in found for line in path.read_text().splitlines()]


@contextmanager
def typed_warm() -> Iterator[None]:
    """Until its end, shells type in forks of one process."""
    with tempfile.TemporaryDirectory() as folder, closing(Warm(Path(folder))) as Shell.warm:
        yield
    Shell.warm = None
