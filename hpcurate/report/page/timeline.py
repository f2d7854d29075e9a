"""When workers were there and what they did: lanes by stage over one axis of time. Pure.

An axis leaves out long stretches in which nobody was there: a run that was continued a week later has no week of gap.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence

import attrs

from hpcurate.report.events import COMMITTED, RUNNING, Attempt, WorkerSpan

LANES = 36
"""Workers of a stage that are drawn."""
GAP = 0.15
"""Share of the time with workers that a stretch without any has at least where it is left out."""
BREAK = 0.025
"""Share of the axis that stands for such a stretch."""
FINEST = 1 / 700
"""Share of the axis between two pieces that are drawn as one."""
TICKS = 6

Piece = tuple[float, float]
"""From and to, as shares of the axis."""


@attrs.define(frozen=True, kw_only=True)
class Lane:
    """One worker."""

    name: str
    """What it was, in words."""
    there: Piece
    setup: Piece | None
    """Until its first stage process was ready."""
    busy: tuple[Piece, ...] = ()
    lost: tuple[Piece, ...] = ()
    """In attempts that came to nothing."""
    killed: bool = False


@attrs.define(frozen=True, kw_only=True)
class StageLanes:
    """The workers of one stage, the first to begin first."""

    stage: str
    workers: int
    """All of them, also those that are not drawn."""
    lanes: tuple[Lane, ...]
    killed: int


@attrs.define(frozen=True, kw_only=True)
class Timeline:
    """All workers of a run."""

    stages: tuple[StageLanes, ...]
    """Those that have any."""
    ticks: tuple[tuple[float, str], ...]
    """(place on the axis, time)."""
    breaks: tuple[tuple[float, float], ...]
    """(place, seconds that are left out there)."""
    seconds: float
    """From the first to the last sign of a worker, without what is left out."""


@attrs.define(frozen=True)
class Axis:
    """Stretches of time with workers, one after the other."""

    stretches: tuple[tuple[float, float], ...]

    @classmethod
    def over(cls, spans: Iterable[tuple[float, float]]) -> Axis:
        """Of all spans; short gaps belong to it."""
        joined = _joined(sorted(spans))
        there = sum(end - start for start, end in joined) or 1.0
        merged: list[tuple[float, float]] = []
        for start, end in joined:
            if merged and start - merged[-1][1] < GAP * there:
                merged[-1] = (merged[-1][0], end)
            else:
                merged.append((start, end))
        return cls(tuple(merged) or ((0.0, 1.0),))

    @property
    def seconds(self) -> float:
        """That are on it."""
        return max(1e-6, sum(end - start for start, end in self.stretches))

    @property
    def _wide(self) -> float:
        """Share of the axis that is left for stretches."""
        return 1.0 - BREAK * (len(self.stretches) - 1)

    def place(self, at: float) -> float:
        """Where a time is, 0 … 1."""
        passed = 0.0
        for number, (start, end) in enumerate(self.stretches):
            if at <= end or number == len(self.stretches) - 1:
                inside = min(end, max(start, at)) - start
                return (passed + inside) / self.seconds * self._wide + BREAK * number
            passed += end - start
        return 1.0

    def breaks(self) -> tuple[tuple[float, float], ...]:
        """(place, seconds) of what is left out."""
        pairs = zip(self.stretches, self.stretches[1:], strict=False)
        return tuple((self.place(before[1]) + BREAK / 2, after[0] - before[1]) for before, after in pairs)

    def ticks(self) -> tuple[tuple[float, str], ...]:
        """A few times in each stretch, in UTC; with the day where there are several."""
        step = _step(self.seconds / TICKS)
        days = {_utc(at).date() for stretch in self.stretches for at in stretch}
        form = ("%d %b " if len(days) > 1 else "") + ("%H:%M:%S" if step < 60 else "%H:%M")
        found = [start - start % step + step * n for start, end in self.stretches for n in range(TICKS * 2 + 2)]
        return tuple(
            (self.place(at), _utc(at).strftime(form)) for at in found if any(a <= at <= b for a, b in self.stretches)
        )


def _utc(at: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(at, datetime.UTC)


def _step(least: float) -> float:
    """The next round number of seconds."""
    steps = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 604800)
    return next((float(step) for step in steps if step >= least), 2419200.0)


def _joined(spans: Iterable[tuple[float, float]], gap: float = 0.0) -> list[tuple[float, float]]:
    """Sorted spans, those that overlap, or are nearer than `gap`, as one."""
    found: list[tuple[float, float]] = []
    for start, end in spans:
        if found and start <= found[-1][1] + gap:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def timeline_of(stages: Sequence[str], spans: Iterable[WorkerSpan], attempts: Iterable[Attempt]) -> Timeline | None:
    """Of the workers of a run; None where none has left a record."""
    workers: dict[str, list[WorkerSpan]] = {}
    for span in spans:
        workers.setdefault(span.record.stage, []).append(span)
    axis = Axis.over((span.record.begun, span.ended) for many in workers.values() for span in many)
    did: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        did.setdefault(attempt.worker, []).append(attempt)
    if not workers:
        return None
    return Timeline(
        stages=tuple(_stage_lanes(name, workers[name], did, axis) for name in stages if name in workers),
        ticks=axis.ticks(),
        breaks=axis.breaks(),
        seconds=axis.seconds,
    )


def _stage_lanes(
    stage: str, spans: Sequence[WorkerSpan], did: Mapping[str, Sequence[Attempt]], axis: Axis
) -> StageLanes:
    ordered = sorted(spans, key=lambda span: (span.record.begun, span.record.index))
    every = -(-len(ordered) // LANES)
    drawn = ordered[::every]
    return StageLanes(
        stage=stage,
        workers=len(ordered),
        lanes=tuple(_lane(span, did.get(span.record.worker, ()), axis) for span in drawn),
        killed=sum(span.fate == "killed" for span in ordered),
    )


def _lane(span: WorkerSpan, attempts: Iterable[Attempt], axis: Axis) -> Lane:
    record = span.record
    ready = record.begun + record.setup_seconds / max(1, record.processes)
    good = [one for one in attempts if one.begun]
    return Lane(
        name=f"{record.node} · worker {record.index} of round {record.round}" + _fate(span),
        there=(axis.place(record.begun), axis.place(span.ended)),
        setup=(axis.place(record.begun), axis.place(min(ready, span.ended))) if record.setup_seconds else None,
        busy=_pieces(good, span, axis, (COMMITTED, RUNNING)),
        lost=_pieces(good, span, axis, None),
        killed=span.fate == "killed",
    )


def _fate(span: WorkerSpan) -> str:
    return {"killed": ", killed", "there": ", at work", "left": ""}[span.fate]


def _pieces(
    attempts: Iterable[Attempt], span: WorkerSpan, axis: Axis, endings: tuple[str, ...] | None
) -> tuple[Piece, ...]:
    """Of attempts with these endings; None: with any other than those that are work."""
    wanted = (one for one in attempts if (one.ending in (endings or (COMMITTED, RUNNING))) == (endings is not None))
    places = sorted((axis.place(one.begun), axis.place(one.ended or span.ended)) for one in wanted)
    return tuple(_joined(places, FINEST))
