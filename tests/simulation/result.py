"""The result of a run, on the true state: that of one in which nothing ever failed, as sets, each task counted once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import attrs

from hpcurate.planning.pipeline import Pipeline, PlannedStage
from hpcurate.runs.folder import Frozen, open_run, open_store
from hpcurate.runs.launcher import make_launcher
from hpcurate.runs.live import Observer
from hpcurate.runs.reconcile import StageView
from hpcurate.store.layout import base
from tests.simulation.grouping import check_cover
from tests.simulation.groups import GROUPED
from tests.simulation.kernel import Host, Process, Violation
from tests.simulation.work import BUG, expected

if TYPE_CHECKING:
    from tests.simulation.episode import Episode


@attrs.define
class _Seen:
    """A run as hpcurate sees it."""

    frozen: Frozen
    views: tuple[StageView, ...]
    lists: dict[str, tuple[str, ...]] = attrs.field(factory=dict)
    """Stage → names of its lists in the live set."""


def check_run(episode: Episode, root: str, pipeline: Pipeline, *, retried: bool) -> None:
    """What everybody sees who looks now is what is there. `retried`: all that failed for a bug was tried again."""
    seen = _look(episode, root, pipeline)
    if seen is None:
        raise Violation("I10: the result cannot be read")
    if not all(view.complete for view in seen.views):
        raise Violation(f"I10: reported as complete, and is not: {seen.views}")
    values, dead = dict[str, dict[str, Any]](), set[str]()
    for stage, view in zip(seen.frozen.pipeline.stages, seen.views, strict=True):
        values[stage.name], failed = _check_stage(episode, root, stage, view, seen)
        dead |= failed
    buggy = set[str]() if retried else {name for name in dead if name.startswith(BUG)}
    should = expected({name: v for name, v in episode.values.items() if name not in buggy}, episode.plan.stages)
    values = {stage: {name: v for name, v in of.items() if name not in buggy} for stage, of in values.items()}
    if (values, dead - buggy) != should:
        raise Violation(f"I10: the result is {values}, dead letters {sorted(dead)}; expected {should}")


def _look(episode: Episode, root: str, pipeline: Pipeline) -> _Seen | None:
    answers: list[_Seen] = []
    host = Host("true")
    episode.kernel.hosts.append(host)
    episode.faults.stale_s = 0.0

    def look(process: Process) -> int:
        world = episode.site.world(process)
        run = open_run(open_store(root, world.filesystem), pipeline, None, None, world.filesystem, world.clock)
        frozen = run.frozen()
        observer = Observer(world, run.store, frozen, make_launcher(frozen.launcher).queue)
        found = _Seen(frozen, observer.look())
        if all(view.complete for view in found.views):
            found.lists = {stage.name: observer.live_lists(stage) for stage in frozen.pipeline.stages}
        answers.append(found)
        return 0

    episode.kernel.spawn(host, "the truth", look).store = root
    episode.move(episode.kernel.now + 1000)
    return answers[0] if answers else None


def _check_stage(
    episode: Episode, root: str, stage: PlannedStage, view: StageView, seen: _Seen
) -> tuple[dict[str, Any], set[str]]:
    """Values by id that a stage passes on, and ids of its dead letters: no task twice, and none left out."""
    truth, lines = episode.truths[root], list(_lines(episode, root, stage, seen))
    again = [((shard, nonce), row) for line in lines for _, shard, nonce, lo, hi in line.get("retries", ()) for row in range(lo, hi)]  # fmt: skip
    if len(again) != len(set(again)):
        raise Violation(f"I5: {stage.name} tries dead letters twice: {sorted(again)}")
    rows, failed, dropped, nonces = list[Any](), list[str](), 0, {}
    for shard in [line["id"] for line in lines]:
        truth.check_shard(stage.folder, shard)
        episode.orders[root].result(stage.folder, shard)
        nonces[shard] = truth.stats(stage.folder, shard)["nonce"]
        rows += truth.rows(stage.folder, shard)
        letters = truth.rows(stage.folder, shard, "failed.jsonl")
        failed += [one["id"] for one in letters if ((shard, nonces[shard]), one["row"]) not in set(again)]
        dropped += len(truth.rows(stage.folder, shard, "dropped.jsonl"))
    if gone := [one for one in again if nonces.get(one[0][0]) != one[0][1]]:
        raise Violation(f"I10: {stage.name} tries again what is not committed any more: {gone}")
    ids = [row["id"] for row in rows]
    if len(ids) != len(set(ids)):
        raise Violation(f"I5: {stage.name} has rows twice: {sorted(ids)}")
    given = sum(line["count"] for line in lines if not line.get("retries"))
    true = (given, len(rows), len(failed), dropped)
    told = (view.counts.tasks_in, view.counts.tasks_out, view.counts.failed, view.counts.dropped)
    if true != told or (stage.name not in ("collect", *GROUPED) and given != len(rows) + len(failed) + dropped):
        raise Violation(f"I6: {stage.name} has (in, out, failed, dropped) {true}, and is said to have {told}")
    check_cover(stage.name, lines, _above(episode, root, stage, seen))
    return {row["id"]: row["value"] for row in rows}, set(failed)


def _above(episode: Episode, root: str, stage: PlannedStage, seen: _Seen) -> Iterator[tuple[str, str, str, int]]:
    """What a stage has to read: stage folder, shard, nonce, rows."""
    pipeline, truth = seen.frozen.pipeline, episode.truths[root]
    read = [(one.folder, seen.lists[one.name]) for one in pipeline.stages if one.name in stage.after]
    for folder, names in read or [(pipeline.source.folder, seen.frozen.source_lists)]:
        for name in names:
            node = episode.site.disk.find(f"{root}/stages/{folder}/lists/{name}.jsonl")
            for line in filter(None, (node.data if node else b"").splitlines()):
                shard = json.loads(line)["id"]
                stats = truth.stats(folder, shard)
                yield folder, shard, stats["nonce"], stats["tasks_out"]


def _lines(episode: Episode, root: str, stage: PlannedStage, seen: _Seen) -> Iterator[dict[str, Any]]:
    """Of the lists of a stage, those that the run has retried itself included, and no others' retries."""
    own = set(seen.frozen.retries.get(stage.folder, ()))
    above = {base(name) for before in stage.after for name in seen.lists[before]}
    for name in seen.lists[stage.name]:
        if name.startswith("retry.") and base(name) not in own | above:
            raise Violation(f"I10: {name} of {stage.name} is another run's retry")
        node = episode.site.disk.find(f"{root}/stages/{stage.folder}/lists/{name}.jsonl")
        for line in (node.data if node else b"").splitlines():
            if line:
                yield json.loads(line)
