"""A place for runs without a scheduler: this machine, asked as a Slurm is asked."""

from __future__ import annotations

from pathlib import Path

import attrs
from slurm_fixture import SlurmSite


@attrs.define(frozen=True)
class Machine:
    """Nothing is queued here, ever: what runs are processes."""

    folder: Path
    """Of its own, for nothing: it runs no jobs."""

    @property
    def env(self) -> dict[str, str]:
        """No Slurm's."""
        return {}

    def squeue(self) -> list[dict[str, str]]:
        """Nobody."""
        return []

    def run(self, *argv: str) -> str:
        """Nobody to ask."""
        raise FileNotFoundError(argv[0])


Site = SlurmSite | Machine
