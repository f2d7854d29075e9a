"""What `hpcurate usage` shows: hours of CPUs and GPUs by stage, from what workers wrote down of themselves.

A worker's hours belong to the run whose command, gate or driver submitted it: a stage folder that several runs read
was paid for once.
"""

from __future__ import annotations

import datetime
import re
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import attrs
import msgspec

from hpcurate.errors import ConfigError, StoreError
from hpcurate.report.events import WorkerSpan, worker_spans
from hpcurate.report.run_view import RunView
from hpcurate.runs.folder import Run, run_names
from hpcurate.store.layout import Store
from hpcurate.store.stats import Committed


@attrs.define(frozen=True, kw_only=True)
class Hours:
    """Of CPUs, or of GPUs: `given` is what is paid for, and the sum of the four that follow."""

    given: float = 0.0
    busy: float = 0.0
    """In attempts that came to a commit."""
    setup: float = 0.0
    failed: float = 0.0
    """In attempts that did not come to a commit, and all that a killed worker did not commit."""
    idle: float = 0.0
    used: float | None = 0.0
    """Of `busy`, that cores computed or GPUs ran any kernel; None where nobody saw."""

    def __add__(self, other: Hours) -> Hours:
        known = self.used is not None and other.used is not None
        sums = {name: getattr(self, name) + getattr(other, name) for name in _SUMS}
        return Hours(**sums, used=(self.used or 0.0) + (other.used or 0.0) if known else None)


_SUMS = ("given", "busy", "setup", "failed", "idle")


@attrs.define(frozen=True, kw_only=True)
class Prices:
    """What an hour costs, in whatever currency; 0: that is not known."""

    cpu_hour: float = 0.0
    gpu_hour: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.cpu_hour or self.gpu_hour)


@attrs.define(frozen=True, kw_only=True)
class StageHours:
    """Of the workers of one stage in one run, or of all that are added up."""

    run: str
    stage: str
    workers: int = 0
    killed: int = 0
    """Of them: they left without a word."""
    committed: int = 0
    """Shards."""
    lost: int = 0
    """Attempts that did not come to a commit, of workers that left in order."""
    tasks_out: int = 0
    cpu: Hours = Hours()
    gpu: Hours = Hours()

    def cost(self, prices: Prices) -> float:
        """Of all that was given."""
        return self.cpu.given * prices.cpu_hour + self.gpu.given * prices.gpu_hour

    def plain(self, prices: Prices) -> dict[str, Any]:
        """What `hpcurate usage --json` prints."""
        return {**attrs.asdict(self), **({"cost": self.cost(prices)} if prices else {})}


# -- one worker -------------------------------------------------------------------------------------


def with_shards(span: WorkerSpan, shards: Iterable[Committed]) -> WorkerSpan:
    """One that has not left in order, with what the shards say that it committed. Pure."""
    record, found = span.record, list(shards)
    gpus = record.gpus / record.processes
    seen = [use.busy * use.seconds * gpus for one in found if (use := one.gpu) is not None and use.busy is not None]
    told = msgspec.structs.replace(
        record,
        busy_seconds=sum((one.ended or 0.0) - (one.begun or 0.0) for one in found),
        cpu_seconds=sum(one.cpu_seconds for one in found),
        gpu_seconds=sum(seen) if seen else None,
        committed=len(found),
        tasks_out=sum(one.tasks_out for one in found),
    )
    return attrs.evolve(span, record=told)


def hours_of(span: WorkerSpan, amount: float, used_s: float | None) -> Hours:
    """Of so many CPUs or GPUs, that all its stage processes share. Pure.

    What a killed worker did not commit failed; what one that is there still has not committed counts as busy.
    """
    record, given = span.record, amount * span.seconds
    busy, setup, failed = (
        seconds * amount / record.processes
        for seconds in (record.busy_seconds, record.setup_seconds, record.lost_seconds)
    )
    if span.fate == "left":
        parts = {"busy": busy, "setup": setup, "failed": failed, "idle": max(0.0, given - busy - setup - failed)}
    else:
        busy = min(given, busy) if span.fate == "killed" else given
        parts = {"busy": busy, "failed": given - busy}
    hours = {name: seconds / 3600 for name, seconds in parts.items()}
    return Hours(given=given / 3600, **hours, used=None if used_s is None else used_s / 3600)


def hours_of_worker(run: str, span: WorkerSpan) -> StageHours:
    """What one worker adds. Pure."""
    record = span.record
    return StageHours(
        run=run,
        stage=record.stage,
        workers=1,
        killed=int(span.fate == "killed"),
        committed=record.committed,
        lost=record.lost,
        tasks_out=record.tasks_out,
        cpu=hours_of(span, record.cpus, record.cpu_seconds),
        gpu=hours_of(span, record.gpus, record.gpu_seconds),
    )


def total(hours: Iterable[StageHours], run: str = "", stage: str = "") -> StageHours:
    """All together. Pure."""
    found = list(hours)
    counts = {name: sum(getattr(one, name) for one in found) for name in _COUNTS}
    cpu = sum((one.cpu for one in found), Hours())
    gpu = sum((one.gpu for one in found if one.gpu.given), Hours())
    return StageHours(run=run, stage=stage, **counts, cpu=cpu, gpu=gpu)


_COUNTS = ("workers", "killed", "committed", "lost", "tasks_out")


# -- runs -------------------------------------------------------------------------------------------


def hours_by_stage(view: RunView, since: float = 0.0) -> list[StageHours]:
    """Of each stage of a run that had a worker; only of those that began since then."""
    found: dict[str, list[StageHours]] = defaultdict(list)
    spans = [span for span in worker_spans(view) if span.record.begun >= since]
    shards = _committed(view, {span.record.stage for span in spans if span.fate != "left"})
    for span in spans:
        told = span if span.fate == "left" else with_shards(span, shards[span.record.worker])
        found[span.record.stage].append(hours_of_worker(view.run.name, told))
    return [total(hours, view.run.name, stage) for stage, hours in found.items()]


def _committed(view: RunView, stages: set[str]) -> dict[str, list[Committed]]:
    """Worker → what it committed, of these stages."""
    found: dict[str, list[Committed]] = defaultdict(list)
    for planned in view.planned:
        for shard in view.committed(planned) if planned.name in stages else ():
            found[shard.counts.worker or ""].append(shard.counts)
    return found


def hours_since(store: Store, since: float) -> list[StageHours]:
    """Of every run of ours in a store whose configuration can be read, oldest first."""
    found: list[StageHours] = []
    for name in run_names(store):
        with suppress(StoreError):
            found += hours_by_stage(RunView(Run(store, name)), since)
    return found


def since_of(text: str, now: datetime.datetime) -> float:
    """Unix seconds of `7d`, `12h`, `2026-11-01` or `2026-11-01T08:30` (local time). Pure. Raises ConfigError."""
    ago = re.fullmatch(r"(\d+)([dh])", text)
    with suppress(ValueError, OverflowError):
        if ago:
            size = {"d": "days", "h": "hours"}[ago[2]]
            return (now - datetime.timedelta(**{size: int(ago[1])})).timestamp()
        return datetime.datetime.fromisoformat(text).timestamp()
    raise ConfigError(f"--since {text}: expected days or hours ago, or a date: 7d, 12h, 2026-11-01")
