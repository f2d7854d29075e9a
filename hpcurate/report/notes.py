"""What users noted about a run: `note.txt` in its folder, a line each."""

from __future__ import annotations

import datetime
import os
from contextlib import suppress
from pathlib import Path

from hpcurate.runs.folder import Run
from hpcurate.store.access import private_files

NOTE = "note.txt"


def note_of(run: Run) -> str:
    """All lines; empty if there are none."""
    with suppress(OSError):
        return Path(run.path, NOTE).read_text(errors="surrogateescape").rstrip("\n")
    return ""


def add_note(run: Run, text: str) -> None:
    """Append a line with today's date."""
    today = datetime.datetime.now().astimezone().strftime("%Y-%m-%d")
    with private_files(), open(os.path.join(run.path, NOTE), "a", errors="surrogateescape") as file:
        file.write(f"{today} {text}\n")
