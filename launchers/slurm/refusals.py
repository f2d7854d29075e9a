"""What sbatch itself refuses, asked before anything is submitted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from launchers.slurm.clients import call, error_lines
from launchers.slurm.limits import accounts
from launchers.slurm.options import flags

REFUSAL = re.compile(r"Invalid|unrecognized|ambiguous|not permitted|denied|requires an argument", re.IGNORECASE)
"""How `sbatch --test-only` reports what waiting does not change; it also complains where nodes are merely down."""


def refusals(jobs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each kind of job whose options `sbatch --test-only` refuses; equal options are asked about once."""
    found: dict[tuple[str, ...], str] = {}
    for where, options in jobs.items():
        words = tuple(flags(options))
        if words not in found:
            found[words] = _refusal(where, words)
    return [line for line in found.values() if line]


def _refusal(where: str, words: tuple[str, ...]) -> str:
    done = call(["sbatch", "--test-only", *words, "--wrap=true"])
    if not done.returncode or not REFUSAL.search(done.stderr):
        return ""
    wrong = error_lines(done.stderr)
    return f"{where}: sbatch refuses its options: {wrong}{_own_accounts(wrong)}"


def _own_accounts(wrong: str) -> str:
    mine = accounts() if "account" in wrong else []
    return f"; you may charge {', '.join(mine)}: set launcher.account" if mine else ""
