"""Results of a stage: the tasks that it passed on in one run's live set, as plain rows with absolute paths of files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import attrs

from hpcurate.report.row_files import with_files
from hpcurate.report.rows import TASKS, Plain, lines_of, loaded
from hpcurate.report.run_view import CommittedShard, RunView

INPUT = "input"
"""What the source took in, as if a stage of that name had made it."""


@attrs.define(frozen=True, kw_only=True)
class Results:
    """What is committed of one stage now."""

    run: str
    store: str
    stage: str
    stages: str
    """Folder that the files of rows start from."""
    shards: tuple[CommittedShard, ...]
    missing: str = ""
    """What is yet to come, in words; empty where that is all."""

    @property
    def tasks(self) -> int:
        """How many there are."""
        return sum(shard.counts.tasks_out for shard in self.shards)

    def lines(self) -> Iterator[bytes]:
        """The rows as they are in the store, in order."""
        for shard in self.shards:
            yield from lines_of(shard, TASKS)

    def rows(self, place: Callable[[str], str] | None = None) -> Iterator[Plain]:
        """The rows. Files are absolute paths, or what `place` makes of a reference."""
        for line in self.lines():
            yield with_files(loaded(line), place or self.path)

    def path(self, reference: str) -> str:
        """Where a file of a row lies."""
        return os.path.join(self.stages, reference)


def results_of(view: RunView, stage: str) -> Results:
    """Of a stage, or of `input`. Raises ConfigError where there is no such stage."""
    shards, missing = view.source() if stage == INPUT else [], ""
    if stage != INPUT or INPUT in {planned.name for planned in view.planned}:
        planned, report = view.frozen.pipeline.stage(stage), view.look()
        shards, found = view.committed(planned), report.stages[stage]
        if not found.complete:
            of = "its shards are not known yet" if found.shards is None else f"{len(shards)} of {found.shards} shards"
            missing = f"{stage} is not complete: {of}; {report.run} is {report.state.value}"
    store = view.run.store
    return Results(
        run=view.run.name,
        store=store.root,
        stage=stage,
        stages=store.stages,
        shards=tuple(shards),
        missing=missing,
    )
