"""Calling Slurm's clients: with a clean environment, bounded in time, an answer or None."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence

from hpcurate.errors import LauncherError

ANSWER_S = 20.0
"""How long a Slurm client may take to answer."""
INHERITED = re.compile(r"(SLURM|SBATCH|SRUN|SUBMITIT)_\w+|HPCURATE_(WORKER|PARENT)")
"""Environment of an enclosing job, which a nested sbatch would take for its own options."""
KEPT = {"SLURM_CONF"}


def client_environment() -> dict[str, str]:
    """Environment for Slurm's clients, without what an enclosing job left there."""
    return {k: v for k, v in os.environ.items() if k in KEPT or not INHERITED.fullmatch(k)}


def call(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a client, bounded in time. Raises LauncherError where it does not start or does not answer."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWER_S, env=client_environment(), check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LauncherError(f"{os.path.basename(command[0])}: {error}") from None


def ask(command: Sequence[str]) -> str | None:
    """Output of a Slurm client, or None if it failed or did not answer."""
    try:
        done = call(command)
    except LauncherError:
        return None
    if done.returncode and "Invalid job id" in done.stderr:
        return ""  # the controller answers: it has no such job
    return None if done.returncode else done.stdout


def error_lines(message: str) -> str:
    """The errors in a client's output, on one line. Pure."""
    lines = [line.strip() for line in message.splitlines() if re.search(r"error:|failure:", line, re.IGNORECASE)]
    return "; ".join(lines[-3:]) or message.strip()[-500:]


class clean_environment:
    """submitit runs sbatch with our environment: meanwhile, the enclosing job's variables are taken out of it."""

    def __enter__(self) -> None:
        self._kept = {k: v for k, v in os.environ.items() if INHERITED.fullmatch(k) and k not in KEPT}
        for name in self._kept:
            del os.environ[name]

    def __exit__(self, *_: object) -> None:
        os.environ.update(self._kept)
