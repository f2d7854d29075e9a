"""`hpcurate explain`: why each stage of a run, or of a command not yet typed, runs or does not."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from hpcurate.cli.arguments import KEYS, as_keys
from hpcurate.cli.diagram import diagram
from hpcurate.cli.terminal import show, table
from hpcurate.cli.verbs.common import RUN_HELP, store_parser, the_run
from hpcurate.runs.expected import Expected, total
from hpcurate.runs.explanation import Explanation, explain
from hpcurate.runs.preview import Preview, StagePreview
from hpcurate.units import bytes_text, hours_text, plural

HEADER = ("stage", "follows", "folder", "tasks", "shards", "done", "workers", "env")
EXPECTED = ("still to do", "tasks", "CPU hours", "GPU hours", "disk", "as in")


def parser() -> argparse.ArgumentParser:
    """See `hpcurate explain --help`."""
    made = store_parser("explain", "why each stage runs, or does not; of a run, or of a command: key=value …")
    made.add_argument("run", nargs="?", metavar="RUN | +pipeline=NAME …", help=RUN_HELP)
    return made


def verb(argv: list[str]) -> int:
    """`hpcurate explain [RUN]`, or `hpcurate explain +pipeline=… key=value …` for a command not yet typed."""
    words = argv[1:]
    if any("=" in word and not word.startswith(("--", *(f"{key}=" for key in KEYS))) for word in words):
        from hpcurate.cli.start.launch import previews

        for seen in previews(as_keys(words)):
            show([*input_lines(seen), *explanation_lines(seen.explanations)])
        return 0
    from hpcurate.report.run_view import RunView

    view = RunView(the_run(parser().parse_args(words)))
    show(explanation_lines(explain(view.run.store, view.frozen.pipeline, view.stages)))
    return 0


def explanation_lines(explanations: Sequence[Explanation]) -> list[str]:
    """A line for each stage; below it the parts that differ. Pure."""
    width = max((len(e.stage) for e in explanations), default=0)
    lines = []
    for one in explanations:
        lines.append(f"{one.stage:<{width}}  {one.reason}")
        lines += [f"{'':<{width}}    {line}" for line in (*one.differences, *one.results)]
    return lines


def input_lines(seen: Preview) -> list[str]:
    """What the run would say of its source. Pure."""
    return [f"input: {line}" for line in seen.input]


def preview_lines(seen: Preview) -> list[str]:
    """What `dry_run=true` prints: the plan, its graph where that is no line, the reasons, the sbatch scripts. Pure."""
    lines = [f"run: {seen.run.name if seen.run else 'a new one'}", *input_lines(seen), ""]
    lines += table(HEADER, map(_row, seen.stages))
    stages = [one.stage for one in seen.stages]
    drawn = diagram({one.name: one.after for one in stages}, {one.name: one.needs for one in stages})
    lines += ["", *drawn] if drawn else []
    lines += ["", *expected_lines(seen.expected), "", *explanation_lines(seen.explanations)]
    for one in seen.stages:
        if one.script:
            lines += ["", f"== sbatch script of {one.stage.name}", *one.script.rstrip().splitlines()]
    return [*lines, "", "dry_run=true: nothing was written or submitted"]


def expected_lines(expected: Sequence[Expected]) -> list[str]:
    """What is left, by what the stages have needed so far. Pure."""
    left = [one for one in expected if one.tasks != 0]
    if not left:
        return ["still to do: nothing"]
    if not any(one.by for one in left):
        return ["still to do: hours and disk are unknown, nothing of these stages was done in this store yet"]
    rows = [*left, total(left)] if len(left) > 1 else left
    return table(EXPECTED, map(_expected_row, rows), numbers=True)


def _expected_row(one: Expected) -> tuple[str, ...]:
    tasks = "" if one.stage == "total" else "?" if one.tasks is None else f"{one.tasks:,.0f}"
    hours = [_hours(one.cpu_hours), _hours(one.gpu_hours)]
    disk = "?" if one.bytes is None else bytes_text(round(one.bytes))
    by = f"{one.by.folder} ({plural(one.by.shards, 'shard')})" if one.by else ""
    return (one.stage, tasks, *hours, disk, by)


def _hours(hours: float | None) -> str:
    """`?`, `-`, `0.31`, `12.3`. Pure."""
    return "?" if hours is None else hours_text(hours) if hours else "-"


def _row(one: StagePreview) -> tuple[str, ...]:
    workers = f"<={one.workers}" if one.shards is None else str(one.workers)
    return (
        one.stage.name,
        ", ".join((*(one.stage.after or ("the source",)), *one.stage.needs)),
        one.stage.folder,
        _or_unknown(one.tasks),
        _or_unknown(one.shards),
        str(one.done),
        workers,
        str(one.stage.env),
    )


def _or_unknown(value: int | None) -> str:
    return "?" if value is None else str(value)
