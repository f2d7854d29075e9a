"""Looking: what the store and the queue have of a run, as the frozen values that `reconcile` decides on.

Nothing here writes. What a look finds out and nobody has written down yet stands in the views, and `reconcile` makes
actions of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence

import attrs

from hpcurate.digest import digest
from hpcurate.errors import StoreError
from hpcurate.planning.pipeline import Pipeline, PlannedStage
from hpcurate.planning.relations import Upstream
from hpcurate.runs.launcher import Queue
from hpcurate.runs.lists_seen import ExpectedList, ListsSeen, LiveList
from hpcurate.runs.reconcile import StageView
from hpcurate.runs.rounds_seen import RoundsSeen, Watched
from hpcurate.runs.state import StageCounts
from hpcurate.store.layout import Store
from hpcurate.store.lists import ShardLine
from hpcurate.store.stage_store import StageStore
from hpcurate.store.stats import Committed
from hpcurate.world import World


class Observer:
    """Looks at one run. Keeps what cannot change, so that looking again is cheap."""

    def __init__(
        self,
        world: World,
        store: Store,
        pipeline: Pipeline,
        source_lists: Sequence[str],
        queue: Queue,
        *,
        forgiven: dict[str, int] | None = None,
        watched: Watched = lambda stage, number: False,
    ) -> None:
        self._world, self._store, self._pipeline = world, store, pipeline
        self._source_lists, self._rounds = tuple(source_lists), RoundsSeen(world, queue, watched)
        self._forgiven = forgiven or {}
        self._stores: dict[str, StageStore] = {}
        self._lists = ListsSeen(self.store)
        self._expected_lists: dict[str, tuple[ExpectedList, ...] | None] = {}
        """Stage → its lists in this look."""
        self._committed: dict[tuple[str, str], Committed] = {}
        self._complete_lists: dict[tuple[str, str], list[Committed]] = {}
        self._unindexed: dict[tuple[str, str], None] = {}

    # -- the whole run ------------------------------------------------------------------------------

    def look(self) -> tuple[StageView, ...]:
        """Every stage, in topological order."""
        self._expected_lists.clear()
        return tuple(self._view(stage) for stage in self._pipeline.stages)

    def store(self, folder: str) -> StageStore:
        """A stage's part of the store, by the name of its folder."""
        if folder not in self._stores:
            self._stores[folder] = self._world.stage(self._store, folder)
        return self._stores[folder]

    def _view(self, stage: PlannedStage) -> StageView:
        expected = self._expected(stage)
        if expected is None:
            return StageView(name=stage.name, ready=False)
        rounds = self._rounds.views(stage, self.store(stage.folder))
        view = StageView(name=stage.name, ready=True, rounds=rounds, forgiven=self._forgiven.get(stage.name, 0))
        view = attrs.evolve(view, unindexed=self._unindexed_of(stage, expected))
        lists = [one.found for one in expected if one.found is not None]
        if len(lists) < len(expected):
            return view
        done = [shard for found in lists for shard in self._done(stage, found)]
        counts = StageCounts.of(sum(len(found.lines) for found in lists), done)
        _check_sums(stage.name, counts, sum(line.count for found in lists for line in found.lines))
        view = attrs.evolve(view, unindexed=self._unindexed_of(stage, expected))
        return attrs.evolve(view, listed=True, lists=digest_of_lists(one.name for one in lists), counts=counts)

    # -- lists --------------------------------------------------------------------------------------

    def done(self, stage: PlannedStage) -> list[Committed]:
        """Committed shards of the stage in the live set; none while the stage is not listed."""
        expected = self._expected(stage) or ()
        return [shard for one in expected if one.found is not None for shard in self._done(stage, one.found)]

    def live_lists(self, stage: PlannedStage) -> tuple[str, ...]:
        """Names of the stage's lists in the live set; it must be listed."""
        names = self._names(stage)
        assert names is not None, f"{stage.name} is not listed"
        return tuple(names)

    def missing_lists(self, stage: PlannedStage) -> dict[str, list[ShardLine]]:
        """The lists that are yet to be written, by name; everything upstream must be complete."""
        expected = self._expected(stage)
        assert expected is not None, f"{stage.name} is not ready"
        missing = [one for one in expected if one.found is None]
        return dict(self._lists.next_version(stage, one, self._weights_of_rows) for one in missing)

    def complete_list(self, folder: str, name: str) -> list[Committed] | None:
        """Committed shards of a list, in order, or None while any is missing."""
        key = (folder, name)
        if key not in self._complete_lists:
            found = self._lists.read(folder, name)
            done = None if found is None else self._all_committed(folder, found)
            if done is None:
                return None
            self._complete_lists[key] = done
        return self._complete_lists[key]

    def index_written(self, folder: str, name: str) -> None:
        """Somebody has written the index of a list: it is no longer reported as missing."""
        self._unindexed.pop((folder, name), None)

    def _expected(self, stage: PlannedStage) -> tuple[ExpectedList, ...] | None:
        """The lists that the stage must have, as this look has found them. None while an upstream is incomplete."""
        if stage.name not in self._expected_lists:
            upstreams = self._upstreams(stage)
            found = None if upstreams is None else self._lists.expected(stage, upstreams)
            self._expected_lists[stage.name] = found
        return self._expected_lists[stage.name]

    def _upstreams(self, stage: PlannedStage) -> tuple[Upstream, ...] | None:
        """What the stage reads. None while any of it is incomplete."""
        above = [self._pipeline.stage(name) for name in stage.after]
        found = [self._upstream(one.folder, self._names(one)) for one in above]
        if not above:
            found = [self._upstream(self._pipeline.source.folder, self._source_lists)]
        complete = tuple(one for one in found if one is not None)
        return complete if len(complete) == len(found) else None

    def _names(self, stage: PlannedStage) -> list[str] | None:
        """Names of a stage's lists in the live set; None while one is yet to be written."""
        expected = self._expected(stage)
        names = [one.found.name for one in expected or () if one.found is not None]
        return None if expected is None or len(names) < len(expected) else names

    def _upstream(self, folder: str, names: Sequence[str] | None) -> Upstream | None:
        lists = {name: self.complete_list(folder, name) for name in names or ()}
        complete = {name: shards for name, shards in lists.items() if shards is not None}
        return None if names is None or len(complete) < len(lists) else Upstream(folder, complete)

    def _weights_of_rows(self, folder: str, shard: Committed) -> Sequence[float]:
        path = os.path.join(self.store(folder).folder.shard(shard.shard), "tasks.jsonl")
        return [float(json.loads(row)["weight"]) for row in self._world.filesystem.read(path).splitlines()]

    # -- commits ------------------------------------------------------------------------------------

    def _all_committed(self, folder: str, found: LiveList) -> list[Committed] | None:
        commits = self.store(folder).commits
        indexed = commits.read_index(found.name, len(found.lines))
        if indexed is not None:
            return indexed
        if len(commits.names(found.lines)) < len(found.lines):
            return None
        self._unindexed[folder, found.name] = None
        return self._committed_of(folder, found)

    def _done(self, stage: PlannedStage, found: LiveList) -> list[Committed]:
        complete = self.complete_list(stage.folder, found.name)
        return self._committed_of(stage.folder, found) if complete is None else complete

    def _committed_of(self, folder: str, found: LiveList) -> list[Committed]:
        commits = self.store(folder).commits
        for shard in commits.names(found.lines):
            if (folder, shard) not in self._committed:
                self._committed[folder, shard] = commits.read(shard)
        keys = [(folder, line.id) for line in found.lines]
        return [self._committed[key] for key in keys if key in self._committed]

    def _unindexed_of(self, stage: PlannedStage, expected: Sequence[ExpectedList]) -> tuple[tuple[str, str], ...]:
        folders = {stage.folder, *(part.folder for one in expected for part in one.parts)}
        return tuple(key for key in self._unindexed if key[0] in folders)


def digest_of_lists(names: Iterable[str]) -> str:
    """Which live set a round works through, for `Ticket.lists`. Pure."""
    return digest(sorted(names))[:16]


def _check_sums(stage: str, counts: StageCounts, given: int) -> None:
    """Every task that a complete stage was given ended in exactly one of passed, dropped, failed (I6)."""
    ended = counts.passed + counts.dropped + counts.failed
    if counts.shards_done == counts.shards and not given == counts.tasks_in == ended:
        raise StoreError(
            f"{stage}: was given {given} tasks, read {counts.tasks_in}, and {ended} of them ended; "
            "its folder under stages/ was changed by hand, or a file of it was lost"
        )
