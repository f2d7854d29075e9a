"""What the sections of the page say, made of the model. Pure."""

from __future__ import annotations

import attrs

from hpcurate.report.page.dag import Box
from hpcurate.report.page.measures import Measure, Threshold
from hpcurate.report.page.model import Page, StagePart
from hpcurate.report.page.text import number, shown, size, span

EACH = " per 1\u202f000 out"


@attrs.define(frozen=True)
class Figure:
    """One number of the headline."""

    value: str
    label: str
    detail: str = ""


def headline(page: Page) -> list[Figure]:
    """The figures that a reader wants first."""
    stages = page.stages
    first, last = stages[0], stages[-1]
    dropped, failed = (sum(getattr(one.report, name) for one in stages) for name in ("dropped", "failed"))
    figures = [
        Figure(number(first.report.tasks_in), "in", _amounts(first.report.amounts_in)),
        Figure(number(last.report.tasks_out), "out", _amounts(last.report.amounts_out)),
        Figure(number(dropped), "dropped", "on purpose"),
        Figure(number(failed), "failed", "" if not failed else "dead letter" if failed == 1 else "dead letters"),
    ]
    return [*figures, *_hours(page, last.report.tasks_out)]


def _hours(page: Page, tasks: int) -> list[Figure]:
    spent, prices = page.spent, page.options.prices
    figures = [Figure(span(3600 * spent.cpu), "CPU time", f"{span(3.6e6 * spent.cpu / tasks)}{EACH}" if tasks else "")]
    if spent.gpu:
        each = f"{span(3.6e6 * spent.gpu / tasks)}{EACH}" if tasks else ""
        figures.append(Figure(span(3600 * spent.gpu), "GPU time", each))
    if prices:
        cost = spent.cpu * prices.cpu_hour + spent.gpu * prices.gpu_hour
        figures.append(Figure(number(cost), "cost", f"{number(1000 * cost / tasks)}{EACH}" if tasks else ""))
    return figures


def _amounts(amounts: dict[str, float]) -> str:
    seconds, volume = amounts.get("seconds"), amounts.get("bytes")
    return ", ".join([*([span(seconds)] if seconds else []), *([size(volume)] if volume else [])])


def graph_boxes(page: Page) -> list[Box]:
    """The input and each stage."""
    first = page.stages[0].report.tasks_in if page.stages else 0
    boxes = [Box(name="input", line=f"{number(first)} tasks")]
    return boxes + [_box(part) for part in page.stages]


def _box(part: StagePart) -> Box:
    report = part.report
    known = report.shards is not None
    return Box(
        name=part.name,
        after=(*(part.planned.after or ("input",)), *part.planned.needs),
        line=f"{number(report.tasks_in)} → {number(report.tasks_out)}" if known else "not begun",
        done=(report.shards_done / report.shards if report.shards else 1.0) if known else 0.0,
        failed=bool(report.failed),
        target=f"stage-{part.name}",
    )


def measure_title(measure: Measure) -> str:
    """A histogram in words, for who cannot see it."""
    return (
        f"{shown(measure.name)} of {number(measure.count)} tasks: {number(measure.least)} to {number(measure.most)}, "
        f"median {number(measure.median)}{_asked(measure.threshold)}"
    )


def _asked(threshold: Threshold | None) -> str:
    if threshold is None:
        return ""
    asked = [f"at least {number(threshold.least)}"] if threshold.least is not None else []
    asked += [f"at most {number(threshold.most)}"] if threshold.most is not None else []
    return f"; asked: {' and '.join(asked)}"
