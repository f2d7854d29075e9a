"""How far the stages of a run are, with what is in work, how long they still take, and which tasks take long. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import msgspec

from hpcurate.runs.state import StageCounts
from hpcurate.runs.summary import RunReport, StageInWork, StageReport, TaskInWork
from hpcurate.runs.work_seen import ShardInWork, StageWork

SHOWN = 3
"""Tasks of silent workers, and of others, that are named of a stage."""
SLOW = 5.0
"""A task is slow that takes so many times what is expected of it, and `SLOW_S` at least."""
LATE, LATE_S = 2.0, 2.0
"""When it ends is not known of one that takes so many times what is expected of it, and so many seconds more."""
SLOW_S = 30.0


def with_work(report: RunReport, counts: Mapping[str, StageCounts], works: Mapping[str, StageWork]) -> RunReport:
    """The report with what is in work in its stages."""
    stages = {
        name: stage_with_work(stage, counts[name], works[name]) if name in works else stage
        for name, stage in report.stages.items()
    }
    return msgspec.structs.replace(report, stages=stages)


def stage_with_work(report: StageReport, counts: StageCounts, work: StageWork) -> StageReport:
    """One stage with what is in work in it."""
    pace = seconds_per_weight(counts, work)
    return msgspec.structs.replace(
        report,
        progress=counts.progress(work.weight_done),
        left_s=seconds_left(counts, work, pace),
        in_work=StageInWork(
            workers=work.workers,
            read=work.read,
            shards=len(work.shards),
            silent=sum(shard.silent_s > 0 for shard in work.shards),
            starting=dict(work.starting),
            tasks=tuple(shown_tasks(work.shards, pace)),
        ),
    )


def seconds_per_weight(counts: StageCounts, work: StageWork) -> float | None:
    """What a stage process takes for a unit of weight, so far; None while nothing is done."""
    ended = [shard for shard in work.shards if shard.at.done]
    weight = counts.weight_done + sum(shard.weight_done for shard in ended)
    seconds = counts.seconds + sum(shard.at.took_s for shard in ended)
    return seconds / weight if weight > 0 and seconds > 0 else None


def seconds_left(counts: StageCounts, work: StageWork, pace: float | None) -> float | None:
    """Of the stage, if as many slots stay at work as are now, and no less than the heaviest shard in work needs.

    None where no pace is known, or nobody works but on tasks that take much longer than that.
    """
    able = [shard for shard in work.shards if not shard.silent_s and not _is_late(_task(shard, pace))]
    if not pace or not able:
        return None
    left = counts.weight - counts.weight_done - work.weight_done
    last = max(shard.weight - shard.weight_done for shard in able)
    return round(pace * max(left / (work.scale * len(able)), last), 1)


def shown_tasks(shards: Iterable[ShardInWork], pace: float | None) -> list[TaskInWork]:
    """Tasks that are in work: a few of silent workers, the longest silent first, then a few that take long."""
    tasks = [_task(shard, pace) for shard in shards if shard.at.task]
    silent = sorted((one for one in tasks if one.silent_s), key=lambda one: -one.silent_s)
    beating = sorted((one for one in tasks if not one.silent_s), key=lambda one: (one.expected_s or 0.0) - one.seconds)
    return [*silent[:SHOWN], *beating[:SHOWN]]


def is_slow(task: TaskInWork) -> bool:
    """Whether it takes much longer than is expected of it."""
    return task.expected_s is not None and task.seconds >= max(SLOW_S, SLOW * task.expected_s)


def _is_late(task: TaskInWork) -> bool:
    """Whether it takes so much longer than expected that nobody can say when it ends."""
    return task.expected_s is not None and task.seconds > LATE * task.expected_s + LATE_S


def _task(shard: ShardInWork, pace: float | None) -> TaskInWork:
    at = shard.at
    return TaskInWork(
        id=at.task,
        name=at.name or at.task,
        shard=at.shard,
        worker=shard.worker,
        node=shard.node,
        seconds=at.since_s,
        batch=max(at.batch, 1),
        expected_s=round(pace * at.weighs, 3) if pace and at.weighs > 0 else None,
        limit_s=at.limit_s,
        silent_s=round(shard.silent_s, 1),
        curves={name: (at, value if math.isfinite(value) else None) for name, (at, value) in shard.curves.items()},
    )
