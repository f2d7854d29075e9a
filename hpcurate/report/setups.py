"""Why a stage cannot be started: one traceback for all workers whose setup failed alike, with the user's own paths."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import attrs

from hpcurate.failures import FailureKind, Report
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.report.tracebacks import of_the_checkout, places
from hpcurate.runs.commands import quoted, within
from hpcurate.runs.folder import Frozen, Run
from hpcurate.runs.summary import RunReport
from hpcurate.store.reports import read_reports

_MISSING = re.compile(r"No module named '([\w.]+)'")
_ROUND = re.compile(r"(.+)-(\d{4,})")


@attrs.define(frozen=True, kw_only=True)
class SetupFailure:
    """What happened to the workers of a stage before they could begin."""

    stage: str
    message: str
    trace: tuple[str, ...] = ()
    """Lines of the traceback; none where nothing was raised."""
    workers: int = 1
    nodes: tuple[str, ...] = ()
    help: str = ""
    """What may help; empty where nobody knows."""

    def plain(self) -> dict[str, Any]:
        """As `hpcurate why --json` prints it."""
        return attrs.asdict(self)


@attrs.define(frozen=True)
class Place:
    """Where somebody works on a run."""

    folder: str
    """Of its command."""
    store: str


def setup_failures(run: Run, frozen: Frozen, report: RunReport) -> tuple[SetupFailure, ...]:
    """Of stages that are not complete, since the run's command was typed last; the most frequent of a stage first."""
    there = run.filesystem.names(os.path.join(run.path, "submissions"))
    place, found = places(frozen.command.folder), list[SetupFailure]()
    for stage in frozen.pipeline.stages:
        if not report.stages[stage.name].complete:
            submissions = _since(stage.name, frozen.forgiven.get(stage.name, 0), there)
            reports = [one for name in submissions for one in _setups(run, name)]
            traces = [(one, tuple(of_the_checkout(one.traceback, place))) for one in reports]
            found += alike(stage, traces, Place(frozen.command.folder, run.store.root))
    return tuple(found)


def alike(stage: PlannedStage, reports: Iterable[tuple[Report, tuple[str, ...]]], place: Place) -> list[SetupFailure]:
    """One for all reports of a stage with the same message and traceback. Pure."""
    groups: dict[tuple[str, tuple[str, ...]], list[Report]] = {}
    for report, trace in reports:
        groups.setdefault((report.message, trace), []).append(report)
    return [
        SetupFailure(
            stage=stage.name,
            message=message,
            trace=trace if any(trace) else (),
            workers=len(same),
            nodes=tuple(sorted({report.node for report in same})),
            help=_help(stage, message, place),
        )
        for (message, trace), same in sorted(groups.items(), key=lambda one: -len(one[1]))
    ]


def _since(stage: str, forgiven: int, submissions: Iterable[str]) -> Iterator[str]:
    for name in sorted(submissions):
        found = _ROUND.fullmatch(name)
        if found and found[1] == stage and int(found[2]) > forgiven:
            yield name


def _setups(run: Run, submission: str) -> list[Report]:
    with suppress(OSError):
        path = os.path.join(run.path, "submissions", submission)
        return [report for report in read_reports(run.filesystem, path) if report.kind is FailureKind.SETUP]
    return []


def _help(stage: PlannedStage, message: str, place: Place) -> str:
    """Where a module is missing: how its environment gets it."""
    found = _MISSING.search(message)
    if not found:
        return ""
    package = found[1].partition(".")[0]
    if stage.env.container:
        return f"install {package} in its container, {' '.join(stage.env.python)}"
    if stage.env.prefix is None:
        return f"install it where hpcurate runs: pip install {package}"
    name, _, digest = stage.env.digest.rpartition("-")
    if not name or not re.fullmatch(r"[0-9a-f]{8,}", digest):
        return f"install it there: {os.path.join(stage.env.prefix, 'bin', 'python')} -m pip install {package}"
    words = [["hpcurate", "envs", action, name, "--store", place.store] for action in ("lock", "build")]
    commands = " && ".join(" ".join(map(quoted, line)) for line in words)
    return f"add {package} to envs/{name}.yml, then: {within(place.folder, commands)}"
