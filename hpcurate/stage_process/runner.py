"""Run one shard through a stage: read rows, batch, process, account for every task, write rows.

The same code runs in a stage process (any launcher) and in-process (`inline`). It writes into the attempt
directory only; the supervisor commits.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any, Optional, Protocol

from hpcurate.group import GroupStage, SortRows
from hpcurate.stage import Stage
from hpcurate.stage_process.ahead import LOOK_AHEAD
from hpcurate.stage_process.attempt import Attempt
from hpcurate.stage_process.batches import Batch, PrepareDied
from hpcurate.stage_process.feed import Feed, Report, batches_of
from hpcurate.stage_process.groups import group_batches
from hpcurate.stage_process.messages import ShardJob
from hpcurate.stage_process.output import ShardOutput
from hpcurate.stage_process.prepare import InThreads, Preparer, has_prepare
from hpcurate.stage_process.raised import RAISED
from hpcurate.stage_process.remote_inputs import RemoteInputs
from hpcurate.stage_process.set_up import SetUpStage
from hpcurate.store.files import REAL, Files
from hpcurate.store.notes import BEGUN, NOTHING
from hpcurate.store.rows import codec
from hpcurate.store.stats import ShardCounts


class Runner(Protocol):
    """What runs shards, one at a time."""

    @property
    def looks_ahead(self) -> bool:
        """Whether there may be anything to prepare of the shard after the one in work."""

    @property
    def stage(self) -> Stage[Any, Any]:
        """That runs them."""

    def run(self, job: ShardJob, report: Report = ...) -> ShardCounts:
        """Write what becomes of the shard into its attempt's folder."""

    def hold(self, job: ShardJob, report: Report) -> None:
        """Prepare the first batches of the next shard."""

    def close(self) -> None:
        """Tear the stage down."""


def runner_of(
    stage: Stage[Any, Any],
    *,
    threads: int = 1,
    name: Optional[str] = None,
    preparer: Optional[Preparer] = None,
    folder: str = "",
) -> Runner:
    """What runs shards of this stage, which is set up; `folder` is on the node's own disk."""
    if isinstance(stage, SortRows):
        from hpcurate.stage_process.sort_step import SortRunner  # few processes sort

        return SortRunner(stage, name=name)
    return ShardRunner(stage, threads=threads, name=name, preparer=preparer, folder=folder)


class ShardRunner:
    """A stage that is set up, ready to run shards: one at a time, while the first batches of the next are prepared."""

    def __init__(
        self,
        stage: Stage[Any, Any],
        *,
        threads: int = 1,
        name: Optional[str] = None,
        files: Files = REAL,
        preparer: Optional[Preparer] = None,
        folder: str = "",
    ) -> None:
        self.stage, self.files = stage, files
        self._set_up = SetUpStage(stage, name, files)
        self._preparer = (preparer or InThreads(stage, threads)) if has_prepare(stage) else None
        self._inputs = RemoteInputs(stage, folder, self._preparer)
        self._feed: Optional[Feed] = None
        """Of the shard in work."""
        self._held: Optional[Feed] = None
        """Of the shard after it."""
        self._feeding = threading.Lock()

    @property
    def looks_ahead(self) -> bool:
        """See `Runner`: a stage that opens files of the source may be given objects."""
        return self._preparer is not None or bool(self._inputs.fields)

    def close(self) -> None:
        """Tear the stage down. What is still being prepared is for nobody, and is not waited for before that."""
        self._drop_held()
        try:
            self.stage.teardown()
        finally:
            self._inputs.close()
            if self._preparer:
                self._preparer.close()

    def run(self, job: ShardJob, report: Report = lambda message: None) -> ShardCounts:
        """Process every task of the shard and write `tasks.jsonl`, `dropped.jsonl`, `failed.jsonl`.

        `report` gets what is in work of each batch before it is processed. A failing task never fails the shard; a
        failing store does: StoreFailed; and so does the death of a process in which `prepare` ran: PrepareDied.
        """
        for member in self._set_up.members:
            member.told(job.above)
        try:
            with ShardOutput(job, self.files, self._inputs.copies.shown) as output:
                attempt = Attempt(self._set_up, job, report, output, self._ahead, self._inputs.copies.restored)
                attempt.note(BEGUN)
                self._begin(job, report)
                done = 0
                while (batch := self._next()) is not None:
                    began = time.monotonic()
                    attempt.batch(batch, self._ask_in(done))
                    self._set_up.measured.batch(time.monotonic() - began)
                    done += 1
                attempt.note(NOTHING)
                attempt.files.finish()
                output.counts.names_files_of = sorted(attempt.files.others)
        except PrepareDied:
            self._drop_held()
            raise
        finally:
            self._end()
        return output.counts

    def hold(self, job: ShardJob, report: Report) -> None:
        """Prepare the first batches of the next shard as the last ones of this one make room. From any thread."""
        with self._feeding:
            if self._prepares:
                self._held = self._new_feed(job, report)
                self._fill()

    @property
    def _prepares(self) -> bool:
        """Whether anything is done for a batch before `process`."""
        return self._preparer is not None or self._inputs.used

    def _ahead(self) -> list[str]:
        """Ids of the shard's tasks whose `prepare` runs ahead: in flight as well, if the process dies."""
        return self._feed.waiting() if self._feed else []

    # -- batches, and those ahead -------------------------------------------------------------------

    def _new_feed(self, job: ShardJob, report: Report) -> Feed:
        prepare = partial(self._inputs.begin, job.directory)
        self._inputs.copies.begin(job.directory)
        first, given = self._set_up.members[0], self._set_up.types[0][0]
        if job.groups and isinstance(first, GroupStage):
            return Feed(job, group_batches(job, first, given, self.files, prepare), report)
        return Feed(job, batches_of(job, codec(given, job.root), self.files, prepare), report)

    def _begin(self, job: ShardJob, report: Report) -> None:
        with self._feeding:
            held, self._held = self._held, None
            if held is not None and held.job.directory != job.directory:
                self._cancel(held)
                held = None
            self._feed = held or self._new_feed(job, report)

    def _end(self) -> None:
        with self._feeding:
            if self._feed:
                self._cancel(self._feed)
            self._feed = None

    def _cancel(self, feed: Feed) -> None:
        """Nobody takes the rest of it."""
        feed.cancel()
        self._inputs.copies.end(feed.job.directory)

    def _next(self) -> Optional[Batch]:
        """The next batch, with those after it under way, unless a culprit is sought."""
        with self._feeding:
            assert self._feed is not None
            if self._prepares and not self._feed.isolate:
                self._feed.fill(1 + LOOK_AHEAD)
            batch = self._feed.next()
            self._fill()
            return batch

    def _fill(self) -> None:
        """Let the next shard have the room that this one has left. What fails here fails again when it begins."""
        if self._held is not None:
            try:
                self._held.fill(LOOK_AHEAD - len(self._feed or ()))
            except RAISED:
                self._cancel(self._held)
                self._held = None

    def _drop_held(self) -> None:
        with self._feeding:
            if self._held:
                self._cancel(self._held)
            self._held = None

    def _ask_in(self, done: int) -> Optional[float]:
        feed = self._feed
        if feed is None or feed.isolate or feed.job.whole or not feed.batches:
            return None
        return self._set_up.measured.ask_in(feed.batches, done, feed.job.least_batches)
