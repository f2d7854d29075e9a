"""Dead letters and drop reasons over the live set of a run."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from hpcurate.runs.driver import Driver
from hpcurate.runs.folder import Run
from hpcurate.runs.launcher import make_launcher
from hpcurate.store.commits import read_stats
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.layout import StageFolder


@attrs.define(frozen=True)
class Letter:
    """One dead letter and where it lies."""

    stage: str
    """Stage of the pipeline; `row["stage"]` names the member of a chain, too."""
    shard: str
    folder: StageFolder
    row: dict[str, Any]
    """As in `failed.jsonl`: id, stage, error, message, traceback, task."""

    @property
    def name(self) -> str:
        """What a user knows the task by: the path of its file where it has one, else its id."""
        task = self.row.get("task") or {}
        return str(task.get("path") or task.get("source") or self.row["id"])


def failure_line(letter: Letter) -> str:
    """A dead letter in a line. Pure."""
    return f"  {letter.row['stage']}: {letter.name}: {letter.row['error']}: {letter.row['message']}"


def letters(run: Run) -> Iterator[Letter]:
    """All of them, in order of stages and shards."""
    for stage, folder, shard, failed in committed_shards(run):
        if failed:
            yield from letters_of(stage, folder, shard)


def letters_of(stage: str, folder: StageFolder, shard: str) -> Iterator[Letter]:
    """Those of one shard."""
    path = Path(folder.shard(shard), "failed.jsonl")
    if path.exists():
        for line in path.read_bytes().splitlines():
            yield Letter(stage, shard, folder, json.loads(line))


def committed_shards(run: Run) -> Iterator[tuple[str, StageFolder, str, int]]:
    """(stage, its folder, shard, failed tasks) of every committed shard of the live set."""
    frozen = run.frozen()
    observer = Driver(run, make_launcher(frozen.launcher)).observer
    for stage, view in zip(frozen.pipeline.stages, observer.look(), strict=True):
        if view.ready and view.listed:
            for shard in observer.done(stage):
                yield stage.name, observer.folder(stage), shard.shard, shard.failed


def drop_reasons(run: Run) -> dict[str, Counter[str]]:
    """Stage → reason → dropped tasks."""
    found: dict[str, Counter[str]] = {}
    filesystem = PosixFilesystem()
    for stage, folder, shard, _ in committed_shards(run):
        reasons = read_stats(filesystem, folder, shard).get("reasons") or {}
        found.setdefault(stage, Counter()).update(reasons)
    return {stage: counts for stage, counts in found.items() if counts}


def log_of(run: Run, letter: Letter) -> str | None:
    """`file:line` where the worker's log tells of the shard; None if the log is gone or another run's."""
    stats = read_stats(PosixFilesystem(), letter.folder, letter.shard)
    wanted = f"shard {letter.shard} attempt"
    worker = str(stats.get("worker", ""))
    for path in sorted(Path(run.path, "submissions").glob(f"{letter.stage}-*/logs/*.log"), reverse=True):
        lines = path.read_text(errors="backslashreplace").splitlines()
        if any(worker in line for line in lines):
            number = next((i for i, line in enumerate(lines, 1) if line.startswith(wanted)), 1)
            return f"{os.fspath(path)}:{number}"
    return None
