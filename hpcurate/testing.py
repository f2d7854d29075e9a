"""Try a stage without a store or a scheduler: for tests of stages, and for a first look."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

import attrs

from hpcurate.errors import PipelineError
from hpcurate.group import in_groups
from hpcurate.members import declared_input, resolve_types
from hpcurate.stage import Stage, WorkerInfo, members
from hpcurate.stage_process.messages import ShardJob
from hpcurate.stage_process.runner import ShardRunner
from hpcurate.store.rows import codec
from hpcurate.store.stats import ShardCounts
from hpcurate.task import StageSums, Task

__all__ = ["Outcome", "try_stage"]


@attrs.define(frozen=True)
class Outcome:
    """Where every input of a trial ended."""

    tasks: list[Any]
    """Tasks returned, read back from their rows."""
    dropped: list[dict[str, Any]]
    """Rows of `dropped.jsonl`."""
    failed: list[dict[str, Any]]
    """Rows of `failed.jsonl`."""
    logged: list[dict[str, Any]]
    """Rows of `logged.jsonl`: what the stage logged."""
    counts: ShardCounts
    folder: Path
    """Files lie under `files/`."""


def try_stage(
    stage: Stage[Any, Any],
    tasks: list[Any],
    folder: Union[str, Path],
    *,
    batch_size: int = -1,
    upstream: Sequence[StageSums] = (),
) -> Outcome:
    """Run `stage` in this process over `tasks`, through real rows, in `folder` (made if missing).

    `batch_size` -1 takes the stage's own; `upstream` is for a stage with `counts_upstream`. A task that fails does not
    raise: look at `failed`.
    """
    folder = Path(folder).absolute()
    shard = folder / "trial"
    shard.mkdir(parents=True)
    given = _class_of(tasks) or declared_input(stage)
    resolve_types(stage, given)
    for member in members(stage):
        member.accept(member.task_types[0])
    returned = members(stage)[-1].task_types[1]
    rows = folder / "input.jsonl"
    tasks = in_groups(stage, tasks)
    rows.write_bytes(b"".join(codec(given).encode_lines(tasks)))
    job = ShardJob(
        shard="trial",
        directory=os.fspath(shard),
        ref="trial",
        root=os.fspath(folder),
        inputs=[(os.fspath(rows), 0, len(tasks))],
        batch_size=(0 if stage.gather else stage.batch_size) if batch_size < 0 else batch_size,
        whole=stage.gather,
        above=list(upstream),
    )
    stage.setup(WorkerInfo(index=0, process=0, cpus=1))
    runner = ShardRunner(stage)
    try:
        counts = runner.run(job)
    finally:
        runner.close()
    out: list[Task] = codec(returned, os.fspath(folder)).decode_lines((shard / "tasks.jsonl").read_bytes())
    dropped, failed, logged = (_rows(shard / f"{name}.jsonl") for name in ("dropped", "failed", "logged"))
    return Outcome(out, dropped, failed, logged, counts, shard)


def _class_of(tasks: list[Any]) -> Optional[type[Any]]:
    kinds = {type(task) for task in tasks}
    if len(kinds) > 1:
        raise PipelineError(f"tasks of one class are expected, got {', '.join(sorted(k.__qualname__ for k in kinds))}")
    return next(iter(kinds), None)


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
