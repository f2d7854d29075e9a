"""`hpcurate compare`: two runs side by side."""

from __future__ import annotations

import argparse

from hpcurate.cli.start.settings import Settings
from hpcurate.cli.terminal import show, show_json, table
from hpcurate.cli.verbs.common import store_parser, the_store
from hpcurate.fields import defaults_of
from hpcurate.report.comparison import Comparison, compare
from hpcurate.report.logged import described
from hpcurate.runs.folder import find_run
from hpcurate.runs.summary import StageReport

HEADER = ("stage", "in", "out", "dropped", "failed", "")


def parser() -> argparse.ArgumentParser:
    """See `hpcurate compare --help`."""
    made = store_parser("compare", "two runs side by side: configuration, counts, drop reasons")
    made.add_argument("a", metavar="RUN", help="name, path or part of a name; `latest`")
    made.add_argument("b", metavar="RUN", help="the other run")
    made.add_argument("--json", action="store_true", help="print JSON")
    return made


def verb(argv: list[str]) -> int:
    """Print in what they differ."""
    options = parser().parse_args(argv[1:])
    store = the_store(options)
    one, two = find_run(store, options.a), find_run(store, options.b)
    comparison = compare(one, two, defaults_of(Settings))
    if options.json:
        show_json(comparison.plain())
    else:
        show(compare_lines(one.name, two.name, comparison))
    return 0


def compare_lines(one: str, two: str, comparison: Comparison) -> list[str]:
    """Configuration, then counts and drop reasons as `A → B`. Pure."""
    lines = [f"{one} → {two}", "", "configuration:"]
    lines += [f"  {line}" for line in comparison.config] or ["  the same"]
    rows = [(name, *_counts(*pair), "shared" * (name in comparison.shared)) for name, pair in comparison.counts.items()]
    lines += ["", *table(HEADER, rows, numbers=True)]
    reasons = [
        f"  {name}: {reason}: {a[reason]} → {b[reason]}"
        for name, (a, b) in comparison.dropped.items()
        for reason in dict.fromkeys([*a, *b])
    ]
    lines += ["", "dropped:", *reasons] if reasons else []
    logged = [line for name, pair in comparison.counts.items() for line in _logged(name, *pair)]
    return lines + (["", "logged:", *logged] if logged else [])


def _logged(stage: str, *pair: StageReport | None) -> list[str]:
    a, b = (where.logged if where else {} for where in pair)
    both = [(name, *(described(one[name]) if name in one else "-" for one in (a, b))) for name in {**a, **b}]
    return [f"  {stage}: {name}: " + (one if one == two else f"{one} → {two}") for name, one, two in both]


def _counts(a: StageReport | None, b: StageReport | None) -> list[str]:
    both = zip(_four(a), _four(b), strict=True)
    return [one if one == two else f"{one} → {two}" for one, two in both]


def _four(stage: StageReport | None) -> tuple[str, ...]:
    if stage is None:
        return ("-",) * 4
    return tuple(map(str, (stage.tasks_in, stage.tasks_out, stage.dropped, stage.failed)))
