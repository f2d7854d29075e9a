"""`hpcurate retry`: dead letters of a run, tried again as shards of their own.

They are a list in their stage's folder that only this run reads: see `planning/retries.py`. The stages are those of the
run, with the code of this call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs

from hpcurate.errors import ConfigError, StoreError
from hpcurate.failures import DeadLetter
from hpcurate.fields import option
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.planning.retries import RetriedRow, failed_rows, retry_lines, retry_name
from hpcurate.runs.live import Observer
from hpcurate.runs.reconcile import StageView
from hpcurate.store.lists import ShardLine
from hpcurate.store.stage_store import StageStore

__all__ = ["Dead", "NothingChosen", "Retry", "chosen", "new_lines", "write_lists"]


class NothingChosen(ConfigError):
    """No dead letter of the run is one of those that were asked for."""


@attrs.define(frozen=True, kw_only=True)
class Retry:
    """Which dead letters of which run are tried again."""

    run: str | None = option(None, "the run: its name or a part of it; default: the latest one of the store")
    stage: str | None = option(None, "only of this stage")
    kind: str | None = option(None, "only failures of this kind, e.g. exception, crash, oom, timeout")
    reason: str | None = option(None, "only those with this text in their error or message")
    keep_done: bool = option(False, "keep what a stage without a version has done with other code")

    def takes(self, letter: DeadLetter) -> bool:
        """Whether it is one of them. Pure."""
        text = f"{letter.error}: {letter.message}"
        return self.kind in (None, letter.kind) and (self.reason is None or self.reason in text)


@attrs.define(frozen=True)
class Dead:
    """A dead letter as it ended last, and the committed shard that has it."""

    line: ShardLine
    nonce: str
    letter: DeadLetter


# -- which rows make which lines: pure --------------------------------------------------------------


def new_lines(stage: PlannedStage, dead: Sequence[Dead]) -> list[ShardLine]:
    """Lines that try these dead letters of the stage again. Raises StoreError where they cannot be tried."""
    shards: dict[str, list[Dead]] = {}
    for one in dead:
        shards.setdefault(one.line.id, []).append(one)
    rows: list[RetriedRow] = []
    for found in shards.values():
        line = found[0].line
        if stage.relation.whole and len(found) < line.count:
            raise StoreError(
                f"{stage.name}: gets all its {line.count} tasks at once, so {len(found)} of them cannot be tried "
                f"without the others; type the run's command with rerun={stage.name}"
            )
        rows += failed_rows(stage.folder, line, found[0].nonce, _weights(stage, found))
    return retry_lines(stage.relation, rows, dead[0].line.above)


def _weights(stage: PlannedStage, dead: Iterable[Dead]) -> dict[int, float]:
    """Row → weight."""
    found: dict[int, float] = {}
    for one in dead:
        if one.letter.row is None:
            raise StoreError(
                f"{stage.name}: an earlier release did not write down which row task {one.letter.id!a} was; "
                f"type the run's command with rerun={stage.name}"
            )
        found[one.letter.row] = float((one.letter.task or {}).get("weight", 1.0))
    return found


def _not_yet(stage: PlannedStage, view: StageView) -> str:
    """Why nothing of the stage can be tried again yet; empty if it can."""
    shards, done = view.counts.shards, view.counts.shards_done
    if view.complete:
        return ""
    if not view.listed or shards is None:
        return f"{stage.name} waits for what it reads"
    return f"{shards - done} of {shards} shards of {stage.name} are not committed"


# -- in the store -----------------------------------------------------------------------------------


def chosen(
    observer: Observer, stages: Sequence[PlannedStage], views: Sequence[StageView], which: Retry
) -> dict[str, list[Dead]]:
    """Stage → its dead letters that are to be tried, of those whose live set is complete.

    Raises StoreError where there are some of others alone, and NothingChosen.
    """
    found, early = dict[str, list[Dead]](), list[str]()
    for stage, view in zip(stages, views, strict=True):
        dead = [one for one in _dead_letters(observer, stage) if which.takes(one.letter)]
        why = _not_yet(stage, view)
        if dead and not why and which.stage in (None, stage.name):
            found[stage.name] = dead
        elif why and (which.stage == stage.name or (dead and which.stage is None)):
            early.append(why)
    if early and not found:
        raise StoreError(f"{'; '.join(early)}: retry when that has ended; hpcurate status says what to do until then")
    if not found:
        raise NothingChosen("no dead letter is one of those")
    return found


def _dead_letters(observer: Observer, stage: PlannedStage) -> list[Dead]:
    """Those of the stage at their newest ending."""
    lines, retried = observer.lines(stage), observer.retried(stage)
    letters = observer.store(stage.folder).commits.dead_letters
    failed = [shard for shard in observer.done(stage) if shard.failed]
    return [
        Dead(lines[shard.shard], shard.nonce, letter)
        for shard in failed
        for letter in letters(shard.shard)
        if (shard.shard, letter.row) not in retried
    ]


def write_lists(
    store: Callable[[str], StageStore], lists: Mapping[str, Sequence[ShardLine]]
) -> dict[str, tuple[str, ...]]:
    """Write the lists of these stage folders; folder → name of its list. Raises StoreError."""
    for folder, lines in lists.items():
        name, part = retry_name(lines), store(folder)
        if not part.lists.write(name, lines):
            raise StoreError(
                f"{part.folder.list_file(name)}: is empty: another call is writing it, or died while it did; type the "
                "command again in a minute, and if that does not help, move it out of the store"
            )
    return {folder: (retry_name(lines),) for folder, lines in lists.items()}
