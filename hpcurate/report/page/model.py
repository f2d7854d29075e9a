"""What the page shows of a run: frozen values, from one look and one pass over its rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import attrs

from hpcurate.planning.pipeline import PlannedStage
from hpcurate.report.dead_letters import Group, LocatedDeadLetter, dead_letters, grouped
from hpcurate.report.page.gather import gather
from hpcurate.report.page.items import Item, mixed
from hpcurate.report.page.measures import Measure
from hpcurate.report.page.pictures import Limits, Picture, can_draw, pictures_of
from hpcurate.report.page.rows import Row
from hpcurate.report.run_view import CommittedShard, RunView
from hpcurate.runs.state import StageGpu
from hpcurate.runs.summary import RunReport, StageReport
from hpcurate.store.stats import Amounts, LeftOut

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


@attrs.define(frozen=True, kw_only=True)
class StagePart:
    """One stage over its committed shards."""

    planned: PlannedStage
    report: StageReport
    amounts_in: Amounts
    amounts_out: Amounts
    reasons: Mapping[str, int]
    """Drop reason → tasks."""
    lost: Mapping[str, Amounts]
    left_out: Mapping[str, LeftOut]

    @property
    def name(self) -> str:
        """Its name in the pipeline."""
        return self.planned.name

    @property
    def gpu(self) -> StageGpu | None:
        """What its GPUs did."""
        return self.report.gpu

    @property
    def drops(self) -> list[tuple[str, int, Amounts]]:
        """(reason, tasks, what they amounted to), the most frequent first."""
        most = Counter(self.reasons).most_common()
        return [(reason, count, self.lost.get(reason, {})) for reason, count in most]


@attrs.define(frozen=True, kw_only=True)
class Page:
    """Everything on the page."""

    report: RunReport
    command: str
    """What was typed, after `hpcurate`."""
    stages: tuple[StagePart, ...]
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


def page_of(view: RunView, options: Options) -> Page:
    """Look at the run, read its rows, and make the pictures."""
    report = view.look()
    dead = _some(dead_letters(view)) if report.failed else []
    found = gather(view, dead)
    items = tuple(mixed(found.samples.chosen(options.items)))
    return Page(
        report=report,
        command=_command(view),
        stages=tuple(_part(stage, report.stages[stage.name], view.committed(stage)) for stage in view.planned),
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


def _some(letters: Iterable[LocatedDeadLetter]) -> list[LocatedDeadLetter]:
    return [one for _, one in zip(range(MOST_LETTERS), letters, strict=False)]


def _rows(items: Iterable[Item]) -> list[tuple[int, Row]]:
    return [(place, item.row) for place, item in enumerate(items)]


def _command(view: RunView) -> str:
    with suppress(OSError, ValueError):
        words: list[str] = json.loads(Path(view.run.path, "overrides.json").read_text())
        return " ".join(words)
    return ""


def _part(stage: PlannedStage, report: StageReport, shards: Iterable[CommittedShard]) -> StagePart:
    counts = [shard.counts for shard in shards]
    return StagePart(
        planned=stage,
        report=report,
        amounts_in=added(one.amounts_in for one in counts),
        amounts_out=added(one.amounts_out for one in counts),
        reasons=sum((Counter(one.reasons) for one in counts if one.reasons), Counter()),
        lost=_added_by_reason(one.lost for one in counts),
        left_out=_left_out(one.left_out for one in counts),
    )


def added(amounts: Iterable[Amounts]) -> Amounts:
    """The sum, unit by unit. Pure."""
    total: Amounts = {}
    for one in amounts:
        for unit, amount in one.items():
            total[unit] = total.get(unit, 0.0) + amount
    return total


def _added_by_reason(lost: Iterable[Mapping[str, Amounts]]) -> dict[str, Amounts]:
    total: dict[str, Amounts] = {}
    for one in lost:
        for reason, amounts in one.items():
            total[reason] = added((total.get(reason, {}), amounts))
    return total


def _left_out(found: Iterable[Mapping[str, LeftOut]]) -> dict[str, LeftOut]:
    total: dict[str, LeftOut] = {}
    for one in found:
        for reason, left in one.items():
            before = total.get(reason, LeftOut())
            total[reason] = LeftOut(before.count + left.count, added((before.amounts, left.amounts)))
    return total


__all__ = ["Options", "Page", "StagePart", "added", "page_of"]
