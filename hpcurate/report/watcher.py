"""What `hpcurate watch` shows: a run looked at again and again, with rates and its newest dead letters."""

from __future__ import annotations

import collections
import time

import attrs

from hpcurate.report.dead_letters import LocatedDeadLetter, dead_letters_of
from hpcurate.report.rates import Sample, SampleWindow
from hpcurate.report.run_view import RunView
from hpcurate.runs.folder import Run
from hpcurate.runs.launcher import JobRow
from hpcurate.runs.state import RunState
from hpcurate.runs.summary import RunReport

NEWEST = 5
"""Dead letters that are shown."""


@attrs.define(frozen=True, kw_only=True)
class Snapshot:
    """What one refresh shows."""

    report: RunReport
    samples: dict[str, tuple[Sample, ...]] = attrs.field(factory=dict)
    """Stage → its samples of the last ten minutes."""
    jobs: tuple[JobRow, ...] = ()
    newest: tuple[LocatedDeadLetter, ...] = ()

    @property
    def about(self) -> tuple[object, ...]:
        """What it says apart from how long things have taken."""
        report = self.report
        silent = [stage.in_work.silent for stage in report.stages.values() if stage.in_work]
        return (report.state, report.reason, report.committed, self.jobs, self.newest, silent)


class Watcher:
    """Remembers between two looks what rates and newest dead letters need."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._view = RunView(run, repeated=True)
        self._samples: dict[str, SampleWindow] = collections.defaultdict(SampleWindow)
        self._known: set[tuple[str, str]] = set()
        self._failed: dict[str, int] = {}
        """Stage → dead letters at the last look."""
        self._newest: collections.deque[LocatedDeadLetter] = collections.deque(maxlen=NEWEST)

    def look(self) -> Snapshot:
        """Look at store and queue."""
        report, now = self._view.look(), time.monotonic()
        stages = report.stages.items()
        samples = {
            name: self._samples[name].add(Sample(now, stage.shards_done, stage.progress)) for name, stage in stages
        }
        self._note_dead_letters()
        jobs = self._view.jobs() if report.state is RunState.RUNNING else ()
        return Snapshot(report=report, samples=samples, jobs=jobs, newest=tuple(self._newest))

    def _note_dead_letters(self) -> None:
        """Shards are gone through only where there are more dead letters, or less, than before."""
        for stage in self._view.planned:
            before, self._failed[stage.name] = self._failed.get(stage.name, 0), self._view.failed(stage)
            for shard in self._view.having_failed(stage) if self._failed[stage.name] != before else ():
                if (shard.stage, shard.id) not in self._known:
                    self._known.add((shard.stage, shard.id))
                    self._newest.extend(dead_letters_of(shard))
