"""`hpcurate usage`: hours of CPUs and GPUs by stage, of a run or of all since a day; and the run's events as lines."""

from __future__ import annotations

import argparse
import datetime
import os
from collections.abc import Iterable, Sequence

from hpcurate.cli.terminal import say, show, show_json, table
from hpcurate.cli.verbs.common import run_parser, the_run, the_store
from hpcurate.errors import ConfigError
from hpcurate.masks import mask_plain
from hpcurate.report.columns import json_text
from hpcurate.report.events import Attempt, attempts
from hpcurate.report.hours import Hours, Prices, StageHours, hours_by_stage, hours_since, since_of, total
from hpcurate.report.run_view import RunView
from hpcurate.site import SiteProfile
from hpcurate.site_files import site_profile
from hpcurate.store.access import private_files
from hpcurate.units import hours_text, plural

HEADER = ("workers", "hours", "busy", "set-up", "failed", "idle", "used")
NONE = (
    "no worker has written down its hours: nothing of it was submitted yet, all of it was there before, or an earlier "
    "hpcurate made it"
)


def parser() -> argparse.ArgumentParser:
    """See `hpcurate usage --help`."""
    made = run_parser("usage", "hours of CPUs and GPUs by stage: busy, failed, idle and really used")
    made.add_argument("--since", metavar="WHEN", help="all runs of the store: what began since 7d, 12h, 2026-11-01")
    made.add_argument("--events", metavar="FILE", help="write each attempt of each shard to FILE as JSONL; - is stdout")
    made.add_argument("--json", action="store_true", help="print JSON")
    return made


def verb(argv: list[str]) -> int:
    """Print it."""
    options = parser().parse_args(argv[1:])
    if options.since and (options.run or options.events):
        raise ConfigError("--since is of all runs of the store: name no run and no --events with it")
    if options.events:
        return _write_events(RunView(the_run(options)), options.events)
    prices = prices_of(site_profile(options.site)[1])
    if options.since:
        now = datetime.datetime.now().astimezone()
        found = hours_since(the_store(options), since_of(options.since, now))
    else:
        found = hours_by_stage(RunView(the_run(options)))
    if options.json:
        show_json([one.plain(prices) for one in found])
    else:
        show(usage_lines(found, prices))
    return 0


def prices_of(site: SiteProfile) -> Prices:
    """As the site profile says."""
    return Prices(cpu_hour=site.price_cpu_hour or 0.0, gpu_hour=site.price_gpu_hour or 0.0)


# -- lines, pure ------------------------------------------------------------------------------------


def usage_lines(found: Sequence[StageHours], prices: Prices) -> list[str]:
    """A table of CPU hours, and one of GPU hours where there are any."""
    if not found:
        return [NONE]
    several = len({one.run for one in found}) > 1
    lines = _table("CPU", [(one, one.cpu) for one in found], several)
    if any(one.gpu.given for one in found):
        lines += ["", *_table("GPU", [(one, one.gpu) for one in found if one.gpu.given], several)]
    return lines + _killed(found) + _cost(found, prices)


def _table(what: str, rows: Sequence[tuple[StageHours, Hours]], several: bool) -> list[str]:
    first = (f"{what} hours", "stage") if several else (f"{what} hours",)
    sums = total(one for one, _ in rows)
    hours = sums.cpu if what == "CPU" else sums.gpu
    cells = [((one.run, one.stage) if several else (one.stage,), one.workers, hours) for one, hours in rows]
    cells += [(("total", "") if several else ("total",), sums.workers, hours)] if len(rows) > 1 else []
    return table(
        (*first, *HEADER), ((*name, str(workers), *_cells(hours)) for name, workers, hours in cells), numbers=True
    )


def _cells(hours: Hours) -> tuple[str, ...]:
    parts = [hours.busy, hours.setup, hours.failed, hours.idle]
    shares = [f"{part / hours.given:.0%}" if hours.given else "-" for part in parts]
    used = "?" if hours.used is None else f"{hours.used / hours.given:.0%}" if hours.given else "-"
    return (hours_text(hours.given), *shares, used)


def _killed(found: Iterable[StageHours]) -> list[str]:
    return [
        f"{one.stage}: {plural(one.killed, 'worker')} killed: what they had not committed counts as failed"
        for one in found
        if one.killed
    ]


def _cost(found: Sequence[StageHours], prices: Prices) -> list[str]:
    if not prices:
        return []
    each = [
        f"  {one.stage}: {1000 * one.cost(prices) / one.tasks_out:,.2f} per 1,000 tasks"
        for one in found
        if one.tasks_out
    ]
    return ["", f"cost: {total(found).cost(prices):,.2f}", *each]


# -- events -----------------------------------------------------------------------------------------


def _write_events(view: RunView, path: str) -> int:
    """Whole or not at all."""
    lines = (_line(one) for one in attempts(view))
    if path == "-":
        print("\n".join(lines), flush=True)
        return 0
    part = f"{path}.{os.getpid()}.part"
    with private_files(), open(part, "w", encoding="utf-8") as file:
        count = sum(bool(file.write(line + "\n")) for line in lines)
    os.replace(part, path)
    say(f"{plural(count, 'attempt')} in {path}")
    return 0


def _line(one: Attempt) -> str:
    """In ASCII: names may be any bytes."""
    return json_text(mask_plain(one.plain()))
