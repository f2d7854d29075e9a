"""Clients of Slurm that fail once when they are told to: wrappers of the real ones, first on PATH."""

from __future__ import annotations

import shutil
from pathlib import Path

LOST = "Socket timed out on send/recv operation"
TOLD = {
    "sbatch": {
        "refused": 'echo "sbatch: error: Batch job submission failed: No resources" >&2; exit 1',
        "never arrived": f'echo "sbatch: error: Batch job submission failed: {LOST}" >&2; exit 1',
        "answer lost": f'$real "$@" >/dev/null; echo "sbatch: error: Batch job submission failed: {LOST}" >&2; exit 1',
    },
    "squeue": {
        "no answer": f'echo "slurm_load_jobs error: {LOST}" >&2; exit 1',
        "empty answer": "exit 0",
    },
    "sacct": {
        "no answer": 'echo "sacct: error: slurm_persist_conn_open_without_init: failed" >&2; exit 1',
        "empty answer": "exit 0",
    },
}
"""Client → how it may fail → what it does then."""
WRAPPER = """#!/bin/bash
real={real}
shopt -s nullglob
for lie in "{folder}"/told/{client}.*; do
    mv "$lie" "{folder}/believed/" 2>/dev/null || continue
    case "${{lie##*.}}" in
{cases}
    esac
done
exec $real "$@"
"""


class Lies:
    """The wrappers of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("bin", "told", "believed"):
            (folder / name).mkdir(parents=True)
        for client, ways in TOLD.items():
            cases = "\n".join(f'    "{way}") {what} ;;' for way, what in ways.items())
            program = folder / "bin" / client
            real = shutil.which(client)
            program.write_text(WRAPPER.format(real=real, folder=folder, client=client, cases=cases))
            program.chmod(0o755)

    def tell(self, client: str, way: str, number: int) -> str:
        """Let the next call of a client fail; the name of the lie."""
        name = f"{client}.{number}.{way}"
        (self.folder / "told" / name).touch()
        return name

    def believed(self, name: str) -> bool:
        """Whether a client has told it."""
        return (self.folder / "believed" / name).exists()

    def withdraw(self, name: str) -> bool:
        """Take it back: False if it was told before."""
        try:
            (self.folder / "told" / name).unlink()
            return True
        except FileNotFoundError:
            return False
