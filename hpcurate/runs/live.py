"""Looking: what the store and the queue have of a run, as the frozen values that `reconcile` decides on.

Nothing here writes. What a look finds out and nobody has written down yet stands in the views, and `reconcile` makes
actions of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from hpcurate.digest import digest
from hpcurate.errors import StoreError
from hpcurate.planning.cutting import Output
from hpcurate.planning.file_needs import StageFiles
from hpcurate.planning.job_time import Load
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.planning.plan import limits_of
from hpcurate.planning.relations import Upstream
from hpcurate.planning.results import digest_of
from hpcurate.runs.commits_seen import CommitsSeen, SeenList, with_done
from hpcurate.runs.files_seen import FilesOf, FilesSeen
from hpcurate.runs.folded import Folded
from hpcurate.runs.folder import Frozen
from hpcurate.runs.launcher import Queue
from hpcurate.runs.left import Left, left_of
from hpcurate.runs.lists_seen import ExpectedList, ListsSeen, LiveList
from hpcurate.runs.missing_inputs import MissingInputs, stages_above
from hpcurate.runs.nodes_seen import NodesSeen
from hpcurate.runs.reconcile import Refused, StageView
from hpcurate.runs.results_seen import ResultsSeen, Unusable, with_results
from hpcurate.runs.rounds_seen import RoundsSeen, Watched
from hpcurate.runs.state import StageCounts
from hpcurate.store.evidence import Evidence
from hpcurate.store.layout import Store
from hpcurate.store.lists import ShardLine
from hpcurate.store.order import ORDER_FILE, Order
from hpcurate.store.stage_store import StageStore
from hpcurate.store.stats import Committed
from hpcurate.sums import StageSums
from hpcurate.world import World

LOOK_CLOSER = "`hpcurate verify` names every file that is missing or differs, `hpcurate verify --repair` what to do"


class Observer:
    """Looks at one run. Keeps what cannot change, so that looking again is cheap."""

    def __init__(
        self,
        world: World,
        store: Store,
        frozen: Frozen,
        queue: Queue,
        *,
        run: str = "",
        watched: Watched = lambda stage, number: False,
    ) -> None:
        """Of a run, or of what might be one, as its latest call has frozen it."""
        self._world, self._store, self._pipeline, self._frozen = world, store, frozen.pipeline, frozen
        self._rounds = RoundsSeen(world, queue, watched, frozen.pipeline.timing, run)
        self._nodes = NodesSeen(world.filesystem, run, store.run(run), frozen.nodes)
        self._stores: dict[str, StageStore] = {}
        self._lists = ListsSeen(self.store)
        self._results = ResultsSeen(self.store, lambda name: self.done(frozen.pipeline.stage(name)), frozen.pipeline)
        self._missing: dict[str, MissingInputs | None] = {}
        """Stage → what it does not get, in this look."""
        self._expected_lists: dict[str, tuple[ExpectedList, ...] | None] = {}
        """Stage → its lists in this look."""
        self.commits = CommitsSeen(world.clock, self.store)
        self.files = FilesSeen(self.store, frozen.uses, keeps_results=frozen.keep == "results")

    # -- the whole run ------------------------------------------------------------------------------

    def look(self) -> tuple[StageView, ...]:
        """Every stage, in topological order."""
        self._expected_lists.clear()
        self._missing.clear()
        self._results.next_look()
        self.commits.next_look()
        stages, views = self._pipeline.stages, self._with_files([self._view(one) for one in self._pipeline.stages])
        pairs = list(zip(stages, views, strict=True))
        told = {one.name: self._nodes.told(one, self.store(one.folder), view) for one, view in pairs}
        return tuple(msgspec.structs.replace(view, nodes=self._nodes.of(one, told)) for one, view in pairs)

    def _with_files(self, views: list[StageView]) -> list[StageView]:
        """With what is known of files that were freed, and of those that may be. A shard whose files this run needs
        again is open.
        """
        if not self.files.may_matter([(stage.folder, view.complete) for stage, view in self._with_views(views)]):
            return [msgspec.structs.replace(view, files=FilesOf()) for view in views]
        stages = [
            StageFiles(
                stage=stage,
                complete=view.complete,
                lines=self.lines(stage) if view.listed else {},
                done={shard.shard: shard for shard in self.done(stage)},
            )
            for stage, view in self._with_views(views)
        ]
        files = self.files.of(stages)
        return [self._again(one, view, files[view.name]) for one, view in zip(stages, views, strict=True)]

    def _with_views(self, views: Sequence[StageView]) -> Iterator[tuple[PlannedStage, StageView]]:
        return zip(self._pipeline.stages, views, strict=True)

    def _again(self, one: StageFiles, view: StageView, files: FilesOf) -> StageView:
        open_again = len(files.again) + bool(files.differs)
        done = view.counts.shards_done - open_again
        view = msgspec.structs.replace(view, files=files, counts=msgspec.structs.replace(view.counts, shards_done=done))
        if not open_again or not view.may_go_on:
            return view
        again = {*files.again, *(one.lines.keys() - one.done.keys())}
        return msgspec.structs.replace(
            view, left=self._left_of(one.stage, {id: line.count for id, line in one.lines.items() if id in again})
        )

    def store(self, folder: str) -> StageStore:
        """A stage's part of the store, by the name of its folder."""
        if folder not in self._stores:
            self._stores[folder] = self._world.stage(self._store, folder)
        return self._stores[folder]

    def _view(self, stage: PlannedStage) -> StageView:
        expected, rounds = self._expected(stage), self._rounds.views(stage, self.store(stage.folder))
        if expected is None:
            return msgspec.structs.replace(self._not_ready(stage), rounds=rounds)
        seen = self.seen(stage)
        view = StageView(name=stage.name, ready=True, rounds=rounds, forgiven=self._frozen.forgiven.get(stage.name, 0))
        view = msgspec.structs.replace(
            view, unindexed=self._unindexed(stage, expected, seen), results=self._results.known(stage)
        )
        view = msgspec.structs.replace(view, inputs_missing=self._missing_inputs(stage))
        lists = [one.found for one in expected if one.found is not None]
        if len(lists) < len(expected):
            return view
        _check_readable(stage, seen)
        given = sum(found.tasks for one, found in zip(expected, seen, strict=True) if not one.retries)
        counts = self._counts(stage, sum(len(found.lines) for found in lists))
        self._check_given(stage, given, expected)
        _check_sums(stage.name, counts, given)
        missing = tuple(shard for one in seen for shard in (*one.missing, *one.unseen))
        view = msgspec.structs.replace(view, listed=True, counts=counts, missing=missing)
        if view.complete:
            return view
        view = msgspec.structs.replace(view, lists=digest_of_lists(one.name for one in lists))
        return msgspec.structs.replace(view, left=self._left(stage, seen, lists)) if view.may_go_on else view

    def _not_ready(self, stage: PlannedStage) -> StageView:
        """Of a stage that has no lists yet: why, where that does not change by itself."""
        view = StageView(name=stage.name, ready=False)
        if not self._needs_are_met(stage):
            return view
        results = self._results.of(stage)
        if isinstance(results, Unusable):
            return msgspec.structs.replace(view, refused=Refused(str(results)))
        view = msgspec.structs.replace(view, results=results)
        if not stage.after:
            return msgspec.structs.replace(view, blocked=self._source_lost())
        missing = self._missing_inputs(stage) if self._read_by(stage) is not None else None
        return msgspec.structs.replace(view, inputs_missing=missing, refused=_too_many(stage, missing))

    def as_it_runs(self, stage: PlannedStage) -> PlannedStage:
        """The stage with the results among its parameters, as far as this look knows them."""
        values = self._results.known(stage)
        every = len(values) == len({one.result for one in stage.results})
        return with_results(stage, values, self._store.stages) if every else stage

    def _left(self, stage: PlannedStage, seen: Sequence[SeenList], lists: Iterable[LiveList]) -> Left:
        """What is known of the open shards, of which no worker is left."""
        both = [pair for found, one in zip(lists, seen, strict=True) for pair in with_done(found.lines, one.done)]
        return self._left_of(stage, {line.id: line.count for line, shard in both if shard is None})

    def _left_of(self, stage: PlannedStage, tasks: Mapping[str, int]) -> Left:
        """`tasks`: of each open shard."""
        tried = Evidence(self.store(stage.folder), checkpoints=stage.checkpoints).of_open(tasks)
        limits = limits_of(stage, self._frozen.most.get(stage.name))
        return left_of(stage, len(tasks) - len(tried), tried.items(), limits, tasks)

    def _unindexed(
        self, stage: PlannedStage, expected: Sequence[ExpectedList], seen: Sequence[SeenList]
    ) -> tuple[tuple[str, str], ...]:
        """Fan-out folders without an index of what is there: of the stage, and of a source that it reads."""
        own = [(stage.folder, fan) for one in seen for fan in one.unindexed]
        source = self._pipeline.source.folder
        above = [(source, fan) for one in ([] if stage.after else self.seen_of_source()) for fan in one.unindexed]
        return tuple(dict.fromkeys((*above, *own)))

    def _source_lost(self) -> str:
        """What a source lacks that was taken in and never changes."""
        from hpcurate.source.taken import take_in_again  # all kinds of sources, which hardly a look needs

        folder = self._pipeline.source.folder
        lists = {name: self._lists.read(folder, name) for name in self._frozen.source_lists}
        names = [name for name, found in lists.items() if found is None]
        shards = [
            line.id
            for found in lists.values()
            if found is not None and self.complete_list(folder, found.name) is None
            for line, shard in with_done(found.lines, self.commits.of(folder, found).done)
            if shard is None
        ]
        what = [f"shard {shard}" for shard in shards] or [f"list {name}" for name in names]
        more = f" and {len(what) - 1} more" if len(what) > 1 else ""
        path = self.store(folder).folder
        way_out = take_in_again(path) if shards else "type the run's command again"
        return f"the input as it was taken in is no longer whole: {path.path} lacks {what[0]}{more}; {way_out}"

    def _check_given(self, stage: PlannedStage, given: int, expected: Iterable[ExpectedList]) -> None:
        """What the stages above passed on is what the lists of a stage have (I10)."""
        lists = (
            (part.folder, self._lists.read(part.folder, n)) for e in expected for part in e.parts for n in part.lists
        )
        passed_on = sum(self.commits.of(folder, found).sums.tasks_out for folder, found in lists if found)
        if given != passed_on:
            above = " and ".join(stage.after or ("the input",))
            raise StoreError(
                f"{stage.name}: its lists have {given} tasks, but {above} passed on {passed_on}; {LOOK_CLOSER}"
            )

    # -- lists --------------------------------------------------------------------------------------

    def seen(self, stage: PlannedStage) -> list[SeenList]:
        """What is committed of the stage's lists in the live set; nothing while the stage is not ready."""
        lists = [one.found for one in self._expected(stage) or () if one.found is not None]
        return [self.commits.of(stage.folder, found) for found in lists]

    def seen_of_source(self) -> list[SeenList]:
        """The same of the source's lists."""
        folder = self._pipeline.source.folder
        lists = [self._lists.read(folder, name) for name in self._frozen.source_lists]
        return [self.commits.of(folder, found) for found in lists if found is not None]

    def done(self, stage: PlannedStage) -> list[Committed]:
        """Committed shards of the stage in the live set; none while the stage is not listed."""
        return [shard for seen in self.seen(stage) for shard in seen.done]

    def lines(self, stage: PlannedStage) -> dict[str, ShardLine]:
        """The lines of the stage's lists in the live set, by shard."""
        lists = [one.found for one in self._expected(stage) or () if one.found is not None]
        return {line.id: line for found in lists for line in found.lines}

    def list_names(self, stage: PlannedStage) -> list[str]:
        """Names of the stage's lists in the live set; none while the stage is not listed."""
        return [one.found.name for one in self._expected(stage) or () if one.found is not None]

    def retried(self, stage: PlannedStage) -> set[tuple[str, int]]:
        """(shard, row) of the dead letters of the stage that are tried again: what became of them stands elsewhere."""
        standing = [one.retries for one in self._expected(stage) or () if one.retries is not None]
        ranges = (ended for one in standing for ended in one.ended)
        return {(ended.shard, row) for ended in ranges for row in range(ended.lo, ended.hi)}

    def _counts(self, stage: PlannedStage, shards: int | None) -> StageCounts:
        """Of the stage's lists in the live set, which are all there."""
        expected, seen = self._expected(stage) or (), self.seen(stage)
        given = Folded.together(found.sums for one, found in zip(expected, seen, strict=True) if one.retries is None)
        again = Folded.together(found.sums for one, found in zip(expected, seen, strict=True) if one.retries)
        counts = StageCounts.of(shards, given, again, sum(one.retries.count for one in expected if one.retries))
        weight, weight_done = sum(one.weight for one in seen), sum(one.weight_done for one in seen)
        return msgspec.structs.replace(counts, weight=weight, weight_done=weight_done)

    def open_weights(self, stage: PlannedStage) -> dict[str, float]:
        """Weights of the stage's shards that are not committed."""
        done = {shard.shard for shard in self.done(stage)}
        return {id: line.weight for id, line in self.lines(stage).items() if id not in done}

    def load(self, stage: PlannedStage) -> Load:
        """What is left of the stage, and what its committed shards took."""
        weights, done = {id: line.weight for id, line in self.lines(stage).items()}, self.done(stage)
        seconds, weight = sum(shard.seconds for shard in done), sum(weights.pop(shard.shard) for shard in done)
        return Load(
            weight=sum(weights.values()),
            heaviest=max(weights.values(), default=0.0),
            seconds_per_weight=seconds / weight if weight > 0 else 0.0,
        )

    def live_lists(self, stage: PlannedStage) -> tuple[str, ...]:
        """Names of the stage's lists in the live set; it must be listed."""
        names = self._names(stage)
        assert names is not None, f"{stage.name} is not listed"
        return tuple(names)

    def still_listed(self, stage: PlannedStage) -> bool:
        """Whether the stage's lists in the live set are there, and not only known: workers would wait in vain."""
        gone = [name for name in self.live_lists(stage) if not self.store(stage.folder).lists.is_there(name)]
        for name in gone:
            self._lists.forget(stage.folder, name)
        return not gone

    def missing_lists(self, stage: PlannedStage) -> dict[str, list[ShardLine]]:
        """The lists that are yet to be written, by name; everything upstream must be complete."""
        expected = self._expected(stage)
        assert expected is not None, f"{stage.name} is not ready"
        missing = [one for one in expected if one.found is None]
        return dict(self._lists.next_version(stage, one, self._weights_of_rows, self._order_of) for one in missing)

    def complete_list(self, folder: str, name: str) -> Sequence[Committed] | None:
        """Committed shards of a list, in order, or None while any is missing."""
        found = self._lists.read(folder, name)
        done = self.commits.of(folder, found).done if found is not None else ()
        return None if found is None or len(done) < len(found.lines) else done

    def _expected(self, stage: PlannedStage) -> tuple[ExpectedList, ...] | None:
        """The lists that the stage must have, as this look has found them. None while an upstream is incomplete."""
        if stage.name not in self._expected_lists:
            upstreams = self._upstreams(stage)
            found = None if upstreams is None else self._lists.expected(stage, upstreams)
            self._expected_lists[stage.name] = found and self._with_retries(stage.folder, found)
        return self._expected_lists[stage.name]

    def _with_retries(self, folder: str, lists: tuple[ExpectedList, ...]) -> tuple[ExpectedList, ...]:
        """These lists, and after them the stage's retries: of each as soon as all before it is committed.

        Only then is it known which dead letters there are: a shard that was purged may end otherwise.
        """
        before: list[ShardLine] = []
        for name in self._frozen.retries.get(folder, ()):
            done = [self.complete_list(folder, one.found.name) if one.found else None for one in lists]
            complete = [shards for shards in done if shards is not None]
            if len(complete) < len(lists):
                break
            sizes = {(folder, shard.shard, shard.nonce): shard.tasks_in for shards in complete for shard in shards}
            if retries := self._lists.retries(folder, name, before, sizes):
                lists = (*lists, retries)
                before += retries.found.lines if retries.found else ()
        return lists

    def _needs_are_met(self, stage: PlannedStage) -> bool:
        """Whether what has to be complete first, beside what it reads, is."""
        needs = [self._pipeline.stage(name) for name in {*stage.needs, *(one.stage for one in stage.results)}]
        return all(self._upstream(one.folder, self._names(one)) is not None for one in needs)

    def _upstreams(self, stage: PlannedStage) -> tuple[Upstream, ...] | None:
        """What the stage reads. None while it has to wait, or as long as it may not begin."""
        if not self._needs_are_met(stage) or isinstance(results := self._results.of(stage), Unusable):
            return None
        complete = self._read_by(stage)
        if complete is None or _too_many(stage, self._missing_inputs(stage)):
            return None
        if stage.relation.counts:
            sums = self._sums_above(stage)
            complete = tuple(msgspec.structs.replace(one, above=sums) for one in complete)
        return tuple(msgspec.structs.replace(one, results=digest_of(results)) for one in complete)

    def _read_by(self, stage: PlannedStage) -> tuple[Upstream, ...] | None:
        """None while any of it is incomplete."""
        above = [self._pipeline.stage(name) for name in stage.after]
        found = [self._upstream(one.folder, self._names(one)) for one in above]
        if not above:
            found = [self._upstream(self._pipeline.source.folder, self._frozen.source_lists)]
        complete = tuple(one for one in found if one is not None)
        return complete if len(complete) == len(found) else None

    def _missing_inputs(self, stage: PlannedStage) -> MissingInputs | None:
        """What the stage does not get, where that matters to it; everything above is complete."""
        if not stage.relation.whole and stage.allow_missing is None:
            return None
        if stage.name not in self._missing:
            above = stages_above(stage, self._pipeline.stages)
            by = {one.name: failed for one in above if (failed := self._failed(one))}
            above_it = [self._pipeline.stage(name) for name in stage.after]
            given = sum(one.sums.tasks_out for above in above_it for one in self.seen(above))
            self._missing[stage.name] = MissingInputs(by, given) if by else None
        return self._missing[stage.name]

    def _failed(self, stage: PlannedStage) -> int:
        """Dead letters of the stage that are not tried again."""
        retried = sum(one.retries.count for one in self._expected(stage) or () if one.retries)
        return sum(one.sums.failed for one in self.seen(stage)) - retried

    def _sums_above(self, stage: PlannedStage) -> tuple[StageSums, ...]:
        """What became of the tasks in every stage above, which are all complete, in the order of the pipeline."""
        found = []
        for one in stages_above(stage, self._pipeline.stages):
            c = self._counts(one, None)
            found.append(StageSums(one.name, c.tasks_in, c.tasks_out, c.dropped, c.failed))
        return tuple(found)

    def _names(self, stage: PlannedStage) -> list[str] | None:
        """Names of a stage's lists in the live set; None while one is yet to be written."""
        expected = self._expected(stage)
        names = [one.found.name for one in expected or () if one.found is not None]
        return None if expected is None or len(names) < len(expected) else names

    def _upstream(self, folder: str, names: Sequence[str] | None) -> Upstream | None:
        lists = {name: self.complete_list(folder, name) for name in names or ()}
        complete = {name: shards for name, shards in lists.items() if shards is not None}
        return None if names is None or len(complete) < len(lists) else Upstream(folder, complete)

    def _weights_of_rows(self, folder: str, shard: Output) -> Sequence[float]:
        path = os.path.join(self.store(folder).folder.shard(shard.shard), "tasks.jsonl")
        return [float(json.loads(row)["weight"]) for row in self._world.filesystem.read(path).splitlines()]

    def _order_of(self, folder: str, shard: Output) -> Order:
        path = os.path.join(self.store(folder).folder.shard(shard.shard), ORDER_FILE)
        try:
            found = Order.from_json(self._world.filesystem.read(path))
        except (OSError, msgspec.MsgspecError) as error:
            raise StoreError(f"{path}: cannot be read: {error}; {LOOK_CLOSER}") from None
        if sum(found.rows) != shard.tasks_out:
            raise StoreError(f"{path} has {sum(found.rows)} rows, the shard {shard.tasks_out}; {LOOK_CLOSER}")
        return found


def _too_many(stage: PlannedStage, missing: MissingInputs | None) -> Refused | None:
    """Why the stage may not begin with so many missing inputs. Pure."""
    if missing is None or stage.allow_missing is None or missing.count <= stage.allow_missing:
        return None
    key = f"stages.{stage.name}.allow_missing"
    return Refused(
        f"{stage.name}: {missing}, and {key} is {stage.allow_missing}; `hpcurate retry` tries them again, and a larger "
        "number goes on without them",
        (f"{key}={missing.count}",),
    )


def digest_of_lists(names: Iterable[str]) -> str:
    """Which live set a round works through, for `Ticket.lists`. Pure."""
    return digest(sorted(names))[:16]


def _check_readable(stage: PlannedStage, seen: Iterable[SeenList]) -> None:
    damaged = [shard for one in seen for shard in one.damaged if shard not in one.unseen]
    if damaged:
        raise StoreError(
            f"{stage.name}: {len(damaged)} committed shards cannot be read, e.g. {damaged[0]}: a file of it was lost "
            f"or changed; {LOOK_CLOSER}"
        )


def _check_sums(stage: str, counts: StageCounts, given: int) -> None:
    """Every task that a complete stage was given ended in exactly one of passed, dropped, failed (I6)."""
    ended = counts.passed + counts.dropped + counts.failed
    if counts.shards_done == counts.shards and not given == counts.tasks_in == ended:
        raise StoreError(
            f"{stage}: was given {given} tasks, read {counts.tasks_in}, and {ended} of them ended; "
            f"its folder under stages/ was changed by hand, or a file of it was lost; {LOOK_CLOSER}"
        )
