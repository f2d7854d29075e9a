"""What `hpcurate runs` shows: the runs of a store, each from its own folder, without a look at its stages."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import attrs

from hpcurate.report.notes import NOTE, note_of
from hpcurate.runs.folder import Run, run_names
from hpcurate.runs.summary import written_report
from hpcurate.store.layout import Store
from hpcurate.store.mode import owner_of

SEARCHED = ("config.yaml", "overrides.json", NOTE)
"""Files of a run's folder in which a pattern is searched."""
EVERYWHERE = ("store=", "+pipeline=", "pipeline=")
"""Overrides that nearly every command has: not shown."""


@attrs.define(frozen=True, kw_only=True)
class RunEntry:
    """One run of a list."""

    run: str
    state: str
    """As of the latest look; `?` if nobody has looked yet."""
    as_of: str
    stages: str
    """Complete ones of all: `2/3`."""
    overrides: str
    note: str
    output: str


def list_runs(store: Store, pattern: str = "", state: str | None = None) -> list[RunEntry]:
    """Newest first; only those with the pattern in their name, overrides, note or config, and in that state."""
    runs = (Run(store, name) for name in reversed(run_names(store, others=True)))
    entries = [entry_of(run) for run in runs if _matches(run, pattern)]
    return [entry for entry in entries if state in (None, entry.state)]


def entry_of(run: Run) -> RunEntry:
    """One run; of another user's in a group's store, its name and whose it is."""
    if run.is_anothers:
        whose = f"of {owner_of(run.path)}"
        return RunEntry(run=run.name, state=whose, as_of="", stages="?", overrides="", note="", output="")
    report = written_report(run)
    stages = list(report.stages.values()) if report else []
    overrides = [word for word in _overrides(run) if not word.startswith(EVERYWHERE)]
    return RunEntry(
        run=run.name,
        state=report.state.value if report else "?",
        as_of=report.as_of if report else "",
        stages=f"{sum(stage.complete for stage in stages)}/{len(stages)}",
        overrides=" ".join(overrides),
        note=note_of(run).replace("\n", "; "),
        output=report.output if report else "",
    )


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
