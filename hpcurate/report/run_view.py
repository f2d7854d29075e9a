"""Reading one run: where it stands, what is committed, what the queue has. The only access of reports to the engine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from hpcurate.planning.pipeline import PlannedStage
from hpcurate.report.run_report import RunReport
from hpcurate.runs.driver import ASK_S, Driver, look_with
from hpcurate.runs.folder import Run
from hpcurate.runs.launcher import JobRow, make_launcher
from hpcurate.runs.reconcile import StageView
from hpcurate.store.commits import read_stats
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.layout import StageFolder
from hpcurate.store.lists import Committed
from hpcurate.store.rounds import read_rounds


@attrs.define(frozen=True)
class CommittedShard:
    """A committed shard of the live set, and where it is."""

    stage: str
    folder: StageFolder
    counts: Committed

    @property
    def id(self) -> str:
        """Name of the shard within its stage."""
        return self.counts.shard

    @property
    def path(self) -> Path:
        """Its folder."""
        return Path(self.folder.shard(self.id))

    def stats(self) -> dict[str, Any]:
        """Its `stats.json`."""
        return read_stats(PosixFilesystem(), self.folder, self.id)


class RunView:
    """One run. With `repeated` it is looked at again and again, and the queue is asked every 30 s at most."""

    def __init__(self, run: Run, *, repeated: bool = False) -> None:
        self.run = run
        self.frozen = run.frozen()
        self._filesystem = PosixFilesystem()
        self._launcher = make_launcher(self.frozen.launcher)
        self._driver = Driver(run, self._launcher, stays=repeated)
        self._ask_every_s = ASK_S if repeated else 0.0
        self._asked: tuple[float, tuple[str, ...]] = (float("-inf"), ())
        self._rows: tuple[JobRow, ...] = ()

    def look(self) -> RunReport:
        """Where the run stands now; also written to `summary.json`."""
        return RunReport.of(look_with(self._driver))

    @property
    def planned(self) -> tuple[PlannedStage, ...]:
        """The stages of the pipeline, in order."""
        return self.frozen.pipeline.stages

    @property
    def stages(self) -> list[StageView]:
        """Where each stage stands now, in order."""
        return self._driver.observer.look()

    def folder(self, stage: PlannedStage) -> StageFolder:
        """The stage's folder in the store."""
        return self.run.store.stage(stage.folder)

    def committed(self, stage: PlannedStage) -> list[CommittedShard]:
        """Its committed shards that are part of this run, in order."""
        folder = self.folder(stage)
        return [CommittedShard(stage.name, folder, counts) for counts in self._driver.observer.done(stage)]

    def shards(self, stage: str | None = None) -> Iterator[CommittedShard]:
        """Committed shards of all stages, or of the one with this name."""
        for planned in self.planned:
            if stage in (None, planned.name):
                yield from self.committed(planned)

    def jobs(self) -> tuple[JobRow, ...]:
        """What the queue has of the run's open rounds and gates. A new question is asked at once."""
        ids, now = self._open_jobs(), time.monotonic()
        asked_at, asked = self._asked
        if ids != asked or now - asked_at >= self._ask_every_s:
            self._asked = (now, ids)
            self._rows = tuple(self._launcher.jobs(ids) or ())
        return self._rows

    def _open_jobs(self) -> tuple[str, ...]:
        rounds = (r for stage in self.planned for r in read_rounds(self._filesystem, self.folder(stage)))
        workers = [job for r in rounds if not r.over for job in r.jobs or ()]
        gates = sorted(Path(self.run.path, "gates").glob("*-[0-9][0-9][0-9][0-9]"))
        return (*workers, *(path.read_text().strip() for path in gates))
