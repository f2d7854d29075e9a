"""`hpcurate logs`: what workers, stages and gates wrote; of a stage, a shard, a task, or only what failed."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from hpcurate.cli.verbs.common import run_parser, show, the_run
from hpcurate.errors import StoreError
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.report.dead_letters import committed_shards, letters
from hpcurate.runs.folder import Run
from hpcurate.store.claims import Claim, latest_attempts
from hpcurate.store.layout import fan_of


def verb(argv: list[str]) -> int:
    """Print them. Raises StoreError where there is no such log."""
    options = _parser().parse_args(argv[1:])
    run = the_run(options)
    if options.failed:
        show(_failed_lines(run, options))
        return 0
    stage, worker = options.stage, options.worker
    shard = options.shard or (_shard_of_task(run, options.stage, options.task) if options.task else None)
    if shard:
        stage, worker = _worker_of(run, stage, shard)
    found = sorted(Path(run.path, "gates").glob("gate-*.out")) if options.gate else list(_logs(run, stage, worker))
    if not found:
        raise StoreError(f"{run.path}: no such log; its stages are {', '.join(s.name for s in _stages(run))}")
    for path in found:
        show([f"== {path}"])
        print(path.read_text(errors="backslashreplace"), end="")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = run_parser("logs", "what workers and stages wrote")
    parser.add_argument("--stage", help="of this stage only")
    parser.add_argument("--shard", help="of the worker that did, or does, this shard")
    parser.add_argument("--task", help="of the worker that did this task: its id, or a part of its file's path")
    parser.add_argument("--worker", type=int, help="of this worker only")
    parser.add_argument("--failed", action="store_true", help="the dead letters with their tracebacks instead")
    parser.add_argument("--gate", action="store_true", help="what the gates wrote instead")
    return parser


def _stages(run: Run) -> tuple[PlannedStage, ...]:
    return run.frozen().pipeline.stages


def _failed_lines(run: Run, options: argparse.Namespace) -> Iterator[str]:
    for letter in letters(run):
        if options.stage in (None, letter.stage) and (options.task or "") in f"{letter.row['id']} {letter.name}":
            yield f"== {letter.row['stage']}: {letter.name}"
            yield f"{letter.row['error']}: {letter.row['message']}\n{letter.row['traceback']}"


def _logs(run: Run, stage: str | None, worker: int | None) -> Iterator[Path]:
    for folder in sorted(Path(run.path, "submissions").glob("*")):
        if stage is not None and folder.name.rpartition("-")[0] != stage:
            continue
        for path in sorted((folder / "logs").glob("*.log")):
            if worker is None or int(path.stem) == worker:
                yield path
        yield from (p for p in sorted(folder.glob("array-*.out")) if worker is None and p.stat().st_size)


def _worker_of(run: Run, stage_name: str | None, shard: str) -> tuple[str, int]:
    """(stage, worker index) of the latest attempt of a shard. Raises StoreError."""
    for stage in run.frozen().pipeline.stages:
        if stage_name not in (None, stage.name):
            continue
        folder = run.store.stage(stage.folder)
        try:
            latest = latest_attempts(os.listdir(folder.claims(fan_of(shard))))[shard]
            claim = Claim.from_bytes(Path(folder.claim(shard, latest.attempt)).read_bytes())
        except (OSError, KeyError):
            continue
        return stage.name, worker_index(claim.worker)
    raise StoreError(f"--shard {shard}: nobody has claimed such a shard; look into {run.store.stages}")


def _shard_of_task(run: Run, stage_name: str | None, task: str) -> str:
    """The last committed shard with a row of that task, or its dead letter. Raises StoreError."""
    found = None
    for stage, folder, shard, _ in committed_shards(run):
        if stage_name not in (None, stage):
            continue
        for name in ("tasks.jsonl", "dropped.jsonl", "failed.jsonl"):
            path = Path(folder.shard(shard), name)
            rows = path.read_bytes().splitlines() if path.exists() else []
            if any(task in _names_in(row) for row in rows):
                found = shard
    if found is None:
        raise StoreError(
            f"--task {task}: no committed shard has such a task; `hpcurate logs --failed` lists the failed"
        )
    return found


def _names_in(row: bytes) -> str:
    plain = json.loads(row)
    task = plain.get("task") or plain
    return " ".join(str(task.get(key, "")) for key in ("id", "path", "source"))


def worker_index(worker: str) -> int:
    """`1234-7-r0-ab12cd34` → 7. Pure."""
    match = re.fullmatch(r".*-(\d+)-r\d+-\w+", worker)
    return int(match[1]) if match else 0
