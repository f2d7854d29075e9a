"""One pass over the rows of a run's live set: values of measures, and tasks to look at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import attrs

from hpcurate.planning.pipeline import PlannedStage
from hpcurate.report.dead_letters import LocatedDeadLetter
from hpcurate.report.page.fields import numbers
from hpcurate.report.page.measures import Measure, Threshold, Values, measure_of
from hpcurate.report.page.samples import Fate, Group, Samples
from hpcurate.report.page.saved import SavedRows
from hpcurate.report.page.thresholds import Members, threshold_of_drop, thresholds_of
from hpcurate.report.rows import DROPPED, TASKS, Plain, rows_of
from hpcurate.report.run_view import CommittedShard, RunView
from hpcurate.report.values import members_of

MOST_ROWS = 200_000
"""Of a stage: of more, every n-th shard is read."""
MOST_FIELDS = 60
"""Numeric fields of a stage's rows."""
MOST_GROUPS = 30
"""Reasons whose tasks are told apart in the sample."""
THREADS = 16
"""Shards that are read at once: on shared storage nearly all of it is waiting."""


@attrs.define
class Gathered:
    """What the rows hold."""

    samples: Samples
    measures: list[Measure] = attrs.field(factory=list)
    unset: dict[str, float] = attrs.field(factory=dict)
    """Field → its value before the stage that measures it."""
    saved: dict[str, SavedRows] = attrs.field(factory=dict)
    """Stage → what it saved with tasks."""
    rows: int = 0
    """That were read."""
    sampled: bool = False
    """Whether some shards were left out."""


@attrs.define
class _Columns:
    """Values of the fields of one stage, and what it asks of them."""

    known: frozenset[str]
    """Fields that are measures of an earlier stage, which this one passes on."""
    unset: Mapping[str, float]
    """Fields that had one value for all tasks before: what a dropped task still has of that, nobody has measured."""
    asked: dict[str, Threshold] = attrs.field(factory=dict)
    values: dict[str, Values] = attrs.field(factory=dict)

    def add(self, row: Plain, *, dropped: bool) -> None:
        """All numbers of a row."""
        for name, value in numbers(row):
            if not (name in self.known or (dropped and self.unset.get(name) == value)):
                self._add(name, value, dropped=dropped)

    def add_drop(self, drop: Plain, task: Plain) -> None:
        """Those of a dropped task, and of what the filter measured."""
        self.add(task, dropped=True)
        if told := threshold_of_drop(drop):
            name, threshold = told
            self.asked.setdefault(name, threshold)
            if name not in task:
                self._add(name, drop["value"], dropped=True)

    def _add(self, name: str, value: float, *, dropped: bool) -> None:
        values = self.values.get(name)
        if values is None:
            if len(self.values) >= MOST_FIELDS:
                return
            values = self.values[name] = Values()
        (values.dropped if dropped else values.kept).append(value)


def gather(view: RunView, dead: Iterable[LocatedDeadLetter], items: int) -> Gathered:
    """Read every stage once, first to last; of each group keep so many items at most.

    A measure belongs to the filter that asks for it, else to the first stage in which it varies; where a stage makes
    other tasks (clips of videos), fields of the same name are other measures, and those are shown.
    """
    found = Gathered(Samples(items))
    last = final_stages(view.planned, {stage.name: _tasks_of(view.committed(stage)) for stage in view.planned})
    known: set[str] = set()
    for stage in view.planned:
        if makes_others(view.committed(stage)):
            known, found.unset = set(), {}
        members = _members(stage)
        columns = _Columns(frozenset(known - thresholds_of(members, known).keys()), found.unset)
        found.saved[stage.name] = SavedRows(stage.folder)
        _read_stage(view.committed(stage), stage.name in last, columns, found)
        asked = {**thresholds_of(members, columns.values.keys()), **columns.asked}
        measures = _measures(stage.name, columns.values, asked)
        again = {measure.name for measure in measures}
        found.measures = [measure for measure in found.measures if measure.name not in again] + measures
        known |= again
        found.unset.update({name: of.first for name, of in columns.values.items() if name not in known and len(of)})
    found.measures.sort(key=lambda measure: measure.rank)
    found.unset = {name: value for name, value in found.unset.items() if name in known}
    for one in dead:
        group = Group(Fate.FAILED, one.shard.stage, f"{one.letter.stage}: {one.letter.error}")
        found.samples.offer(group, one.letter.task or {"id": one.letter.id})
    return found


def _tasks_of(shards: Iterable[CommittedShard]) -> tuple[int, int]:
    counts = [shard.counts for shard in shards]
    return sum(one.passed for one in counts), sum(one.tasks_out for one in counts)


def makes_others(shards: Iterable[CommittedShard]) -> bool:
    """Whether a stage makes more tasks than it passes on: they are not those that it was given."""
    counts = [shard.counts for shard in shards]
    return sum(one.tasks_out for one in counts) > sum(one.passed for one in counts)


def _members(stage: PlannedStage) -> Members:
    return [(one.target.rpartition(":")[2].rpartition(".")[2], one.parameters) for one in members_of(stage.spec)]


def final_stages(planned: Sequence[PlannedStage], tasks: Mapping[str, tuple[int, int]]) -> set[str]:
    """Stages whose tasks are what the run has made so far: the last with any, and not one that makes one of all. Pure.

    `tasks`: stage → (tasks that it passed on, what it made of them).
    """

    def last(stage: PlannedStage) -> set[str]:
        passed, made = tasks.get(stage.name, (0, 0))
        if (made and made >= passed / 10) or not stage.after:
            return {stage.name}
        return {name for above in stage.after for name in last(by_name[above])}

    by_name = {stage.name: stage for stage in planned}
    read = {name for stage in planned for name in stage.after}
    return {name for stage in planned if stage.name not in read for name in last(stage)}


def _read_stage(shards: Sequence[CommittedShard], is_last: bool, columns: _Columns, found: Gathered) -> None:
    every = 1 + sum(s.counts.tasks_out + s.counts.dropped for s in shards) // MOST_ROWS
    found.sampled |= every > 1
    for stage, kept, drops in _rows_of(shards[::every]):
        found.rows += len(kept) + len(drops)
        for row in kept:
            columns.add(row, dropped=False)
            found.saved[stage].add(row)
            if is_last:
                found.samples.offer(Group(Fate.KEPT, stage), row)
        for drop in drops:
            task = drop.get("task")
            if isinstance(task, dict):
                columns.add_drop(drop, task)
                found.samples.offer(_group_of(stage, drop, found.samples), task)


def _rows_of(shards: Sequence[CommittedShard]) -> Iterator[tuple[str, list[Plain], list[Plain]]]:
    def read(shard: CommittedShard) -> tuple[str, list[Plain], list[Plain]]:
        drops = rows_of(shard, DROPPED) if shard.counts.dropped or shard.counts.reasons else []
        return shard.stage, rows_of(shard, TASKS), drops

    with ThreadPoolExecutor(THREADS) as pool:
        for first in range(0, len(shards), 4 * THREADS):  # not more in memory than that
            yield from pool.map(read, shards[first : first + 4 * THREADS])


def _group_of(stage: str, drop: Plain, samples: Samples) -> Group:
    group = Group(Fate.DROPPED, stage, str(drop.get("reason", "")))
    few = group in samples.by_group or len(samples.by_group) < MOST_GROUPS
    return group if few else Group(Fate.DROPPED, stage, "other reasons")


def _measures(stage: str, columns: Mapping[str, Values], asked: Mapping[str, Threshold]) -> list[Measure]:
    shown = [name for name, values in columns.items() if values.vary or (name in asked and len(values))]
    return [measure_of(name, stage, columns[name], asked.get(name)) for name in shown]
