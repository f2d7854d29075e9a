"""Starting programs of another environment, and telling what they complained of. Python 3.9 or newer."""

from __future__ import annotations

import os
from collections.abc import Mapping

LINES = 5
"""Of a failing program's output that are shown."""


def bare(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what points one Python to another's packages. Pure."""
    left = ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "CONDA_DEFAULT_ENV")
    return {name: value for name, value in environment.items() if name not in left}


def activated(prefix: str, environment: Mapping[str, str]) -> dict[str, str]:
    """An environment with the prefix in front. Pure."""
    path = os.pathsep.join([os.path.join(prefix, "bin"), environment.get("PATH", os.defpath)])
    return {**bare(environment), "PATH": path, "CONDA_PREFIX": prefix}


def output_tail(text: str, lines: int = LINES) -> str:
    """The end of what a program wrote, on one line. Pure."""
    return " | ".join(text.strip().splitlines()[-lines:])
