"""What `hpcurate show` shows: what a run is, rather than where it stands."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from hpcurate.config_files import read_yaml
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.report.notes import note_of
from hpcurate.report.run_list import RunEntry, entry_of
from hpcurate.report.run_view import RunView
from hpcurate.runs.commands import Command, again, verb
from hpcurate.runs.folder import Frozen, Run
from hpcurate.runs.summary import RunReport
from hpcurate.store.mode import owner_of


class ShownStage(msgspec.Struct, frozen=True, kw_only=True):
    """Where a stage of a run has its results, and what they took, whichever run made them."""

    stage: str
    folder: str
    env: str
    hours: float
    """Of its stage processes."""
    cpu_hours: float
    """These times the cores that each had asked for."""
    gpu_hours: float

    @property
    def amounts(self) -> tuple[float, float, float]:
        """All of them."""
        return self.hours, self.cpu_hours, self.gpu_hours

    @classmethod
    def of(cls, stage: PlannedStage, folder: str, seconds: float) -> ShownStage:
        """From the seconds of its committed shards, each of which had a stage process."""
        hours = seconds / 3600
        return cls(
            stage=stage.name,
            folder=folder,
            env=str(stage.env),
            hours=hours,
            cpu_hours=hours * stage.resources.cpus,
            gpu_hours=hours * stage.gpus,
        )


class ShownRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    entry: RunEntry
    """Its state, when it was started, how long it took."""
    typed: Command
    """What was typed last, by whom, where and when."""
    user: str
    command: str
    """To be typed in any folder."""
    resume: str
    folders: dict[str, str]
    """What → where."""
    stages: tuple[ShownStage, ...]
    versions: dict[str, str]
    """Distribution → version of what the stages import, where it was submitted."""
    config: dict[str, Any]
    """Key → value, of all that the command and its files gave."""
    defaults: dict[str, Any]
    """Key → value, of what is as it always is."""
    note: str

    def plain(self) -> dict[str, Any]:
        """What `hpcurate show --json` prints."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


def shown_run(view: RunView, defaults: Mapping[str, Any], now: datetime.datetime) -> ShownRun:
    """Look at a run. `defaults` are those of the configuration."""
    report, run, frozen = view.look(), view.run, view.frozen
    config, usual = dict(_leaves(_config(run))), dict(_leaves(defaults))
    given = {key: value for key, value in config.items() if key not in usual or usual[key] != value}
    return ShownRun(
        entry=entry_of(run, now),
        typed=frozen.command,
        user=frozen.command.user or owner_of(run.path),
        command=again(frozen.command, run.store.root),
        resume=verb("resume", run.name, run.store.root) if frozen.command.words else "",
        folders=_folders(run, frozen, report),
        stages=tuple(_uses(run, frozen, report)),
        versions=frozen.versions,
        config=given,
        defaults={key: value for key, value in config.items() if key not in given},
        note=note_of(run),
    )


def _folders(run: Run, frozen: Frozen, report: RunReport) -> dict[str, str]:
    logs = os.path.join(run.path, "submissions")
    found = {"store": run.store.root, "run": run.path, "output": report.output, "code": frozen.code, "logs": logs}
    return {name: path for name, path in found.items() if path}


def _uses(run: Run, frozen: Frozen, report: RunReport) -> Iterator[ShownStage]:
    for stage in frozen.pipeline.stages:
        yield ShownStage.of(stage, run.store.stage(stage.folder).path, report.stages[stage.name].seconds)


def _config(run: Run) -> dict[str, Any]:
    """Empty for a run that Python started."""
    with suppress(OSError):
        return read_yaml(Path(run.path, "config.yaml"))
    return {}


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """(`stages.a.resources`, value) of what is no mapping with something in it. Pure."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}.{name}" if key else str(name))
    elif key:
        yield key, value


def in_a_line(value: Any) -> str:
    """A value as a command line takes it, or nearly. Pure."""
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
