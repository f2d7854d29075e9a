"""The video pipeline over a folder, and where each of its files ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import attrs


@attrs.define(frozen=True)
class End:
    """Where an input ends."""

    how: Literal["clips", "dropped", "dead letter", "not taken in"]
    stage: str = ""
    reason: str = ""
    """The reason, or the message; in the table a part of it."""
    error: str = ""
    """Class of the exception, or the kind of failure, of a dead letter."""

    def __str__(self) -> str:
        if not self.stage:
            return self.how
        return f"{self.how} {'by' if self.how == 'dropped' else 'of'} `{self.stage}`: {self.reason}"


def curate(folder: Path, *words: str, nice: int = 0, timeout: float = 280) -> str:
    """Run the pipeline over `folder/in` with the store `folder/store`, however many files fail; what it printed."""
    command = [
        sys.executable, "-m", "hpcurate", "+pipeline=video", f"input={folder}/in", f"store={folder}/store",
        "launcher=local", "wait=true", "budget.failed=inf", *words,
    ]  # fmt: skip
    environment = {**os.environ, "XDG_STATE_HOME": os.fspath(folder)}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=timeout, check=False,
        preexec_fn=lambda: os.nice(nice) and None,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stderr


def ends_in(store: Path) -> dict[str, list[End]]:
    """Where each source ended, from the rows of the store; once for each of its clips."""
    ends: dict[str, list[End]] = {}
    for stage, path, row in rows(store):
        if path == "failed.jsonl":
            end = End("dead letter", stage, row["message"], row["error"])
        elif path == "dropped.jsonl":
            end = End("dropped", stage, row["reason"])
        elif stage == "index":
            end = End("clips")
        else:
            continue
        ends.setdefault(row.get("task", row)["source"], []).append(end)
    return ends


def rows(store: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Stage, file and row of each row of the store."""
    for path in sorted((store / "stages").glob("*/shards/*/*/*.jsonl")):
        for line in path.read_text().splitlines():
            yield name_of(path), path.name, json.loads(line)


def peaks_in(store: Path) -> dict[str, float]:
    """Peak memory of each stage in MB."""
    peaks: dict[str, float] = {}
    for path in (store / "stages").glob("*/shards/*/*/stats.json"):
        peak = json.loads(path.read_text()).get("peak_memory_mb", 0)
        peaks[name_of(path)] = max(peaks.get(name_of(path), 0), peak)
    return peaks


def name_of(path: Path) -> str:
    """The stage of a file in a shard's folder."""
    return path.parents[3].name.rpartition("-")[0]
