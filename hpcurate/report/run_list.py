"""What `hpcurate runs` shows: the runs of a store, each from its own folder, without a look at its stages."""

from __future__ import annotations

import datetime
import json
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from hpcurate.report.notes import NOTE, note_of
from hpcurate.report.times import started_of
from hpcurate.runs.folder import Run, run_names
from hpcurate.runs.state import RunState
from hpcurate.runs.summary import RunReport, written_report
from hpcurate.store.layout import Store
from hpcurate.store.mode import owner_of

SEARCHED = ("config.yaml", "overrides.json", NOTE)
"""Files of a run's folder in which a pattern is searched."""
EVERYWHERE = ("store=", "+pipeline=", "pipeline=")
"""Overrides that nearly every command has: not shown."""


class RunEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a list."""

    run: str
    state: str
    """As of the latest look; `?` if nobody has looked yet."""
    as_of: str
    started: str
    """UTC; empty where its name does not have it."""
    seconds: float | None
    """From then until its last shard was done, or until now while it runs; None where that is not known."""
    stages: str
    """Complete ones of all: `2/3`."""
    overrides: str
    note: str
    output: str


class RunList(msgspec.Struct, frozen=True):
    """The newest runs that were asked for."""

    entries: tuple[RunEntry, ...]
    more: int
    """Older ones that are not in it."""


def list_runs(
    store: Store, now: datetime.datetime, pattern: str = "", state: str | None = None, most: int | None = None
) -> RunList:
    """Newest first; only those with the pattern in their name, overrides, note or config, and in that state.

    Of the runs beyond `most` only what is asked for is read.
    """
    names = list(reversed(run_names(store, others=True)))
    runs = [run for run in (Run(store, name) for name in names) if _matches(run, pattern)]
    if state is None:
        return RunList(tuple(entry_of(run, now) for run in runs[:most]), len(runs[most:]) if most is not None else 0)
    entries = [entry for run in runs if (entry := entry_of(run, now)).state == state]
    return RunList(tuple(entries[:most]), len(entries[most:]) if most is not None else 0)


def entry_of(run: Run, now: datetime.datetime) -> RunEntry:
    """One run; of another user's in a group's store, its name and whose it is."""
    started = started_of(run.name)
    at = started.strftime("%Y-%m-%dT%H:%M:%SZ") if started else ""
    if run.is_anothers:
        state, none = f"of {owner_of(run.path)}", {"as_of": "", "overrides": "", "note": "", "output": ""}
        return RunEntry(run=run.name, state=state, started=at, seconds=None, stages="?", **none)
    report = written_report(run)
    stages = list(report.stages.values()) if report else []
    overrides = [word for word in _overrides(run) if not word.startswith(EVERYWHERE)]
    return RunEntry(
        run=run.name,
        state=report.state.value if report else "?",
        as_of=report.as_of if report else "",
        started=at,
        seconds=_seconds(started, report, now),
        stages=f"{sum(stage.complete for stage in stages)}/{len(stages)}",
        overrides=" ".join(overrides),
        note=note_of(run).replace("\n", "; "),
        output=report.output if report else "",
    )


def _seconds(started: datetime.datetime | None, report: RunReport | None, now: datetime.datetime) -> float | None:
    """How long a run took, or has taken. What others had done before it was begun took it no time."""
    if started is None or report is None:
        return None
    ends = [stage.ended for stage in report.stages.values() if stage.ended is not None]
    until = now.timestamp() if report.state is RunState.RUNNING else max(ends, default=None)
    return None if until is None else max(0.0, until - started.timestamp())


def _overrides(run: Run) -> list[str]:
    with suppress(OSError, ValueError):
        words: list[str] = json.loads(Path(run.path, "overrides.json").read_text())
        return words
    return []


def _matches(run: Run, pattern: str) -> bool:
    if pattern in run.name:
        return True
    with suppress(OSError):
        there = [name for name in SEARCHED if name in os.listdir(run.path)]
        return any(pattern in Path(run.path, name).read_text(errors="backslashreplace") for name in there)
    return False
