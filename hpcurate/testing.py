"""Try a stage without a store or a scheduler: for tests of stages, and for a first look."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

import attrs

from hpcurate.errors import PipelineError
from hpcurate.group import GroupStage, Place, place_of
from hpcurate.members import declared_input, resolve_types
from hpcurate.stage import Stage, WorkerInfo, members, union_of
from hpcurate.stage_process.keys import keys_of
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
    kinds = list(dict.fromkeys(map(type, tasks)))
    given = _class_of(kinds, stage) or declared_input(stage)
    resolve_types(stage, given)
    for member in members(stage):
        member.accept(member.task_types[0])
    returned = members(stage)[-1].task_types[1]
    inputs = [_rows_of(folder, stage, [task for task in tasks if type(task) is kind]) for kind in kinds or [given]]
    grouped = isinstance(members(stage)[0], GroupStage)
    job = ShardJob(
        shard="trial",
        directory=os.fspath(shard),
        ref="trial",
        root=os.fspath(folder),
        inputs=inputs,
        kinds=[f"{kind.__module__}:{kind.__qualname__}" for kind in kinds] if len(kinds) > 1 else [],
        groups=grouped,
        joins=len(kinds) > 1,
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


def _class_of(kinds: list[type[Any]], stage: Stage[Any, Any]) -> Optional[type[Any]]:
    """The one class of the tasks; None where a stage that joins takes several, and for no tasks."""
    if len(kinds) > 1 and set(kinds) <= set(union_of(type(members(stage)[0]))):
        return None
    if len(kinds) > 1:
        raise PipelineError(f"tasks of one class are expected, got {', '.join(sorted(k.__qualname__ for k in kinds))}")
    return next(iter(kinds), None)


def _rows_of(folder: Path, stage: Stage[Any, Any], tasks: list[Any]) -> tuple[str, int, int]:
    """Tasks of one class as an input of the stage, in the order that it gets them from a sort step."""
    kind = type(tasks[0]) if tasks else declared_input(stage)
    path = folder / f"input-{kind.__qualname__}.jsonl"
    lines, first = list(codec(kind).encode_lines(tasks)), members(stage)[0]
    if isinstance(first, GroupStage):
        found = keys_of(first, kind, os.fspath(folder))(b"".join(lines), len(lines))
        places = [_place(key) for key in found.keys]
        lines = [lines[number] for number in sorted(range(len(lines)), key=places.__getitem__)]
    path.write_bytes(b"".join(lines))
    return os.fspath(path), 0, len(tasks)


def _place(key: Any) -> Place:
    """Raises what `key` raised."""
    if isinstance(key, BaseException):
        raise key
    return place_of(key)


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
