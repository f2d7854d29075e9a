"""Whether anything was written into a checkout."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

CACHES = {
    "__pycache__",
    ".pytest_cache",
    ".hypothesis",
    ".mypy_cache",
    ".ruff_cache",
    ".venv",
    ".venv-newest",
    ".venv-oldest",
}
"""What a test session may leave behind, or may find."""


def untracked(checkout: Path) -> set[str]:
    """Files and folders that git does not track, ignored ones among them, apart from caches."""
    command = ["git", "status", "--porcelain", "-z", "--untracked-files=all", "--ignored=matching"]
    environment = {
        **os.environ,
        "GIT_OPTIONAL_LOCKS": "0",
    }  # several test processes look at once, and somebody may commit
    done = subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, errors="surrogateescape", check=False
    )
    names = {entry[3:].rstrip("/") for entry in done.stdout.split("\0") if entry[:2] in ("??", "!!")}
    return {name for name in names if not CACHES & set(name.split("/"))}
