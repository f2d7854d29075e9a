"""What the page shows of a run: frozen values, from one look and one pass over its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import attrs

from hpcurate.planning.pipeline import PlannedStage
from hpcurate.report.dead_letters import Group, LocatedDeadLetter, dead_letters, grouped
from hpcurate.report.events import attempts, worker_spans
from hpcurate.report.hours import Prices, StageHours, hours_by_stage
from hpcurate.report.logged import results_of
from hpcurate.report.page.gather import gather
from hpcurate.report.page.logged import StageLogged, stage_logged
from hpcurate.report.page.measures import Measure
from hpcurate.report.page.pictures import Limits, Picture, can_draw, pictures_of
from hpcurate.report.page.samples import Item, mixed
from hpcurate.report.page.saved import StageSaved, stages_saved
from hpcurate.report.page.text import span
from hpcurate.report.page.timeline import Timeline, timeline_of
from hpcurate.report.rows import Plain
from hpcurate.report.run_view import RunView
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
    prices: Prices = Prices()


@attrs.define(frozen=True)
class Spent:
    """Hours of CPUs and GPUs: as workers of this run were given them, or of work that other runs have committed."""

    cpu: float
    gpu: float

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.cpu + other.cpu, self.gpu + other.gpu)

    def each_1000(self, tasks: int) -> str:
        """For a thousand tasks of so many, in words."""
        cpu, gpu = (span(3600 * 1000 * hours / tasks) for hours in (self.cpu, self.gpu))
        return f"{cpu} of CPUs, {gpu} of GPUs" if self.gpu else cpu


@attrs.define(frozen=True, kw_only=True)
class StagePart:
    """One stage, and what its committed shards needed."""

    planned: PlannedStage
    report: StageReport
    cpu_share: float | None
    """Of the cores that were asked for, how many were busy; None where nobody has counted."""
    memory_mb: float
    """Most that a stage process used; 0: not known."""
    hours: StageHours | None
    """Of its workers in this run; None where there were none."""
    waiting: float
    """Share of its work that `process` waited for `prepare`."""

    @property
    def name(self) -> str:
        """Its name in the pipeline."""
        return self.planned.name

    @property
    def spent(self) -> Spent:
        """Where no worker of this run was there, what the shards took that others have made."""
        if self.hours is not None:
            return Spent(self.hours.cpu.given, self.hours.gpu.given)
        hours = self.report.seconds / 3600
        return Spent(hours * self.planned.resources.cpus, hours * self.planned.gpus)

    @property
    def shares(self) -> dict[str, float]:
        """What the time of its workers went by with, as parts of 1; empty where there were none."""
        if self.hours is None or not self.hours.cpu.given:
            return {}
        cpu, waited = self.hours.cpu, self.hours.cpu.busy * self.waiting
        parts = {"busy": cpu.busy - waited, "waiting": waited, "setup": cpu.setup, "lost": cpu.failed, "idle": cpu.idle}
        return {name: hours / cpu.given for name, hours in parts.items()}

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
    saved: tuple[StageSaved, ...]
    """Of the stages that saved anything with tasks."""
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
    def spent(self) -> Spent:
        """Of all stages."""
        return sum((part.spent for part in self.stages), Spent(0.0, 0.0))


def page_of(view: RunView, options: Options) -> Page:
    """Look at the run, read its rows, and make the pictures."""
    report = view.look()
    dead = _some(dead_letters(view)) if report.failed else []
    found = gather(view, dead, options.items)
    items = tuple(mixed(found.samples.chosen(options.items)))
    hours = {one.stage: one for one in hours_by_stage(view)}
    parts = tuple(_part(view, stage, report.stages[stage.name], hours.get(stage.name)) for stage in view.planned)
    return Page(
        report=report,
        command=view.frozen.command,
        again=again(view.frozen.command, view.run.store.root),
        stages=parts,
        timeline=_timeline(view),
        logged=tuple(stage_logged(results_of(view, part.planned)) for part in parts if part.report.logged),
        saved=stages_saved(found.saved, view.run.store.stages),
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


def _timeline(view: RunView) -> Timeline | None:
    spans = worker_spans(view)
    return timeline_of([stage.name for stage in view.planned], spans, attempts(view)) if spans else None


def _some(letters: Iterable[LocatedDeadLetter]) -> list[LocatedDeadLetter]:
    return [one for _, one in zip(range(MOST_LETTERS), letters, strict=False)]


def _rows(items: Iterable[Item]) -> list[tuple[int, Plain]]:
    return [(place, item.row) for place, item in enumerate(items)]


def _part(view: RunView, stage: PlannedStage, report: StageReport, hours: StageHours | None) -> StagePart:
    counts = [shard.counts for shard in view.committed(stage)]
    counted = [one for one in counts if one.cpu_seconds]
    cores = sum(one.seconds for one in counted) * stage.resources.cpus
    waiting, working = sum(one.waiting_seconds for one in counts), sum(one.process_seconds for one in counts)
    return StagePart(
        planned=stage,
        report=report,
        cpu_share=sum(one.cpu_seconds for one in counted) / cores if cores else None,
        memory_mb=max((one.peak_memory_mb for one in counts), default=0.0),
        hours=hours,
        waiting=waiting / (waiting + working) if waiting + working else 0.0,
    )
