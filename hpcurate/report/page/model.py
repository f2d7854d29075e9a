"""What the page shows of a run: frozen values, from one look and one pass over its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import attrs

from hpcurate.planning.pipeline import PlannedStage
from hpcurate.report.dead_letters import Group, LocatedDeadLetter, dead_letters, grouped
from hpcurate.report.events import WorkerSpan, attempts, worker_spans
from hpcurate.report.logged import results_of
from hpcurate.report.page.gather import gather
from hpcurate.report.page.logged import StageLogged, stage_logged
from hpcurate.report.page.measures import Measure
from hpcurate.report.page.pictures import Limits, Picture, can_draw, pictures_of
from hpcurate.report.page.samples import Item, mixed
from hpcurate.report.page.text import span
from hpcurate.report.page.timeline import Timeline, timeline_of
from hpcurate.report.rows import Plain
from hpcurate.report.run_view import CommittedShard, RunView
from hpcurate.runs.commands import Command, again
from hpcurate.runs.summary import RunReport, StageReport
from hpcurate.store.stats import Amounts
from hpcurate.units import megabytes

MOST_LETTERS = 20_000
"""Dead letters that are read: to group them all says no more."""


@attrs.define(frozen=True, kw_only=True)
class Options:
    """What is asked of the page."""

    version: str = ""
    """Of hpcurate."""
    items: int = 4000
    """Tasks to look at, at most."""
    pictures: Limits = attrs.field(factory=Limits)
    cpu_price: float | None = None
    """Of an hour of one core."""
    gpu_price: float | None = None
    """Of an hour of one GPU."""


@attrs.define(frozen=True)
class Hours:
    """Of cores and GPUs."""

    cpu: float
    gpu: float
    paid: bool
    """Whether they are those that workers of this run were given; else those of the work that is committed."""

    def __add__(self, other: Hours) -> Hours:
        return Hours(self.cpu + other.cpu, self.gpu + other.gpu, self.paid and other.paid)

    def per_1000(self, tasks: int) -> str:
        """For so many tasks, in words."""
        cores, gpus = (span(3600 * 1000 * hours / tasks) for hours in (self.cpu, self.gpu))
        return f"{cores} of cores, {gpus} of GPUs" if self.gpu else cores


@attrs.define(frozen=True, kw_only=True)
class StagePart:
    """One stage, and what its committed shards needed."""

    planned: PlannedStage
    report: StageReport
    cpu_share: float | None
    """Of the cores that were asked for, how many were busy; None where nobody has counted."""
    memory_mb: float
    """Most that a stage process used; 0: not known."""
    hours: Hours
    waiting: float
    """Share of its work that `process` waited for `prepare`."""

    @property
    def name(self) -> str:
        """Its name in the pipeline."""
        return self.planned.name

    @property
    def asked_mb(self) -> float:
        """Main memory of a stage process."""
        return float(megabytes(self.planned.resources.memory))

    @property
    def drops(self) -> list[tuple[str, int, Amounts]]:
        """(reason, tasks, what they amounted to), the most frequent first."""
        most = Counter(self.report.reasons).most_common()
        return [(reason, count, self.report.lost.get(reason, {})) for reason, count in most]


@attrs.define(frozen=True, kw_only=True)
class Page:
    """Everything on the page."""

    report: RunReport
    command: Command
    """What was typed, by whom, where and when."""
    again: str
    """The command that continues the run."""
    stages: tuple[StagePart, ...]
    timeline: Timeline | None
    """None where no worker has left a record."""
    logged: tuple[StageLogged, ...]
    """Of the stages that logged anything."""
    dead: tuple[Group, ...]
    """Dead letters by cause, the largest group first."""
    measures: tuple[Measure, ...]
    items: tuple[Item, ...]
    """Tasks to look at: of each kind of end some, in turn."""
    offered: int
    """Tasks that these are a sample of."""
    unset: Mapping[str, float]
    """Field → its value where nobody has measured it yet."""
    sampled: bool
    """Whether the measures are those of a part of the rows."""
    rows: int
    pictures: Mapping[int, Picture]
    """Place in `items` → picture."""
    can_draw: bool
    """Whether pictures could be made smaller here."""
    options: Options

    @property
    def hours(self) -> Hours:
        """Of all stages."""
        return sum((part.hours for part in self.stages), Hours(0.0, 0.0, True))

    def shares_of(self, stage: str) -> Mapping[str, float]:
        """What the time of a stage's workers went by with; empty where there were none."""
        lanes = self.timeline.stages if self.timeline else ()
        return next((one.share for one in lanes if one.stage == stage), {})


def page_of(view: RunView, options: Options) -> Page:
    """Look at the run, read its rows, and make the pictures."""
    report = view.look()
    dead = _some(dead_letters(view)) if report.failed else []
    found = gather(view, dead, options.items)
    items = tuple(mixed(found.samples.chosen(options.items)))
    spans = worker_spans(view)
    parts = tuple(_part(stage, report.stages[stage.name], view.committed(stage), spans) for stage in view.planned)
    return Page(
        report=report,
        command=view.frozen.command,
        again=again(view.frozen.command, view.run.store.root),
        stages=parts,
        timeline=_timeline(view, parts, spans),
        logged=tuple(stage_logged(results_of(view, part.planned)) for part in parts if part.report.logged),
        dead=tuple(grouped(dead)),
        measures=tuple(found.measures),
        items=items,
        offered=found.samples.offered,
        unset=found.unset,
        sampled=found.sampled,
        rows=found.rows,
        pictures=pictures_of(_rows(items), view.run.store.stages, options.pictures),
        can_draw=can_draw(),
        options=options,
    )


def _timeline(view: RunView, parts: Iterable[StagePart], spans: Sequence[WorkerSpan]) -> Timeline | None:
    names, waiting = [stage.name for stage in view.planned], {part.name: part.waiting for part in parts}
    return timeline_of(names, spans, attempts(view), waiting) if spans else None


def _some(letters: Iterable[LocatedDeadLetter]) -> list[LocatedDeadLetter]:
    return [one for _, one in zip(range(MOST_LETTERS), letters, strict=False)]


def _rows(items: Iterable[Item]) -> list[tuple[int, Plain]]:
    return [(place, item.row) for place, item in enumerate(items)]


def _part(
    stage: PlannedStage, report: StageReport, shards: Iterable[CommittedShard], spans: Sequence[WorkerSpan]
) -> StagePart:
    counts = [shard.counts for shard in shards]
    counted = [one for one in counts if one.cpu_seconds]
    cores = sum(one.seconds for one in counted) * stage.resources.cpus
    waiting, working = sum(one.waiting_seconds for one in counts), sum(one.process_seconds for one in counts)
    return StagePart(
        planned=stage,
        report=report,
        cpu_share=sum(one.cpu_seconds for one in counted) / cores if cores else None,
        memory_mb=max((one.peak_memory_mb for one in counts), default=0.0),
        hours=_hours(stage, report.seconds, [span for span in spans if span.record.stage == stage.name]),
        waiting=waiting / (waiting + working) if waiting + working else 0.0,
    )


def _hours(stage: PlannedStage, seconds: float, spans: Sequence[WorkerSpan]) -> Hours:
    if spans:
        times = [(span.seconds / 3600, span.record) for span in spans]
        return Hours(sum(t * one.cpus for t, one in times), sum(t * one.gpus for t, one in times), True)
    needs = stage.resources
    gpus = needs.gpus if stage.device == "cuda" else 0.0
    return Hours(seconds / 3600 * needs.cpus, seconds / 3600 * gpus, not seconds)
