"""What a stage was given in a run, and what the run has committed of it, as rows that can be compared."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import attrs
import msgspec

from hpcurate.errors import ConfigError, PipelineError, StoreError
from hpcurate.golden.folder import Given
from hpcurate.golden.outcomes import Kept, Plain
from hpcurate.golden.texts import Reader, inputs_in
from hpcurate.golden.values import KeptFile
from hpcurate.group import SortRows
from hpcurate.members import declared_input
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.replay.chosen import GivenRow, Which, given_rows, select
from hpcurate.report.row_files import is_reference, references
from hpcurate.report.rows import DROPPED, TASKS, lines_of, loaded
from hpcurate.report.run_view import CommittedShard, RunView
from hpcurate.spec import STAGE
from hpcurate.stage import Stage
from hpcurate.units import plural

SORTS = f"{SortRows.__module__}:{SortRows.__qualname__}"
"""Class of sort steps."""
__all__ = ["Saved", "belonging", "committed", "is_remote", "missing_class", "plan_of", "saved"]


@attrs.define(frozen=True)
class Saved:
    """Of a run."""

    given: tuple[Given, ...]
    tasks: int
    """How many were chosen."""
    of: int
    """So many tasks of the stage are committed."""
    ids: frozenset[str]
    """Of the chosen tasks; empty: all."""
    shards: Kept
    """All that the shards have into which the chosen ones went."""
    output: str
    """Folder of the run's result."""
    missing: int
    """Shards of the stage that are not committed."""

    def kept(self, now: Kept) -> Kept:
        """What became of the chosen tasks; `now` has what becomes of them, and which files are written for them."""
        found = belonging(self.shards, self.ids, now) if self.ids else self.shards
        if is_remote(self.output):
            return found
        written = [(row["id"], os.path.join(self.output, row["id"])) for row in now.written]
        rows = [{"id": name, "file": KeptFile(path)} for name, path in written if os.path.isfile(path)]
        return attrs.evolve(found, written=rows)


def is_remote(folder: str) -> bool:
    """Whether it is a bucket: what is there is not copied to be compared."""
    return "://" in folder


def plan_of(view: RunView, name: str) -> PlannedStage:
    """The stage of that name. Raises ConfigError, also for what has no input of its own that was kept."""
    assert view.stages, "a look, without which values of results are not known"
    names = {one.name for one in view.planned}
    chain = next((one for one in view.planned if name not in names and _plain(name) in _members_of(one)), None)
    if chain is not None:
        raise ConfigError(
            f"{name}: is a member of the chain {chain.name}, and what one hands to the next is not kept; replay all of "
            f"{chain.name}"
        )
    found = next((one for one in view.planned if one.name == name), None) or view.frozen.pipeline.stage(name)
    if found.spec.target == SORTS:
        users = ", ".join(one.name for one in view.planned if name in one.after)
        raise ConfigError(f"{name}: only sorts for {users}; replay that")
    if found.relation.counts:
        raise ConfigError(f"{name}: reads what became of tasks in the stages above, which a replay does not have")
    return found


def _members_of(stage: PlannedStage) -> set[str]:
    """Names of the classes in a chain, as `_plain` gives them."""
    members = [one[STAGE]["target"] for one in stage.spec.parameters.get("stages", ()) if STAGE in one]
    return {_plain(target.rpartition(":")[2]) for target in members}


def _plain(name: str) -> str:
    """The same for a class and for what a pipeline calls it: `MotionFilter`, `motion_filter`."""
    return name.replace("_", "").lower()


def saved(view: RunView, stage: PlannedStage, made: Stage[Any, Any], which: Which) -> Saved:
    """What is committed of the chosen tasks. Raises ConfigError, StoreError."""
    shards = {shard.id: shard for shard in view.committed(stage)}
    lines = view.lines(stage)
    count = sum(line.count for line in lines.values() if line.id in shards and not line.retries)
    rows = select(stage, given_rows(view, stage), count, which)
    given = _given(view, stage, made, rows)
    _check_files(view.run.store.stages, rows)
    whole = len(rows) == count
    into = set(shards) if whole else _shards_of(view, stage, rows)
    inputs = {text: KeptFile(text, is_input=True) for one in given for row in one.rows for text in _texts(row)}
    output = view.frozen.output or view.run.output
    reader = Reader(view.run.store.stages, is_reference, inputs, output)
    found = committed([shards[name] for name in shards if name in into], view.retried(stage), reader)
    ids = frozenset() if whole else frozenset(str(row["id"]) for one in given for row in one.rows)
    return Saved(tuple(given), len(rows), count, ids, found, output, len(lines.keys() - shards.keys()))


def _texts(row: Plain) -> list[str]:
    members = row.get("files")
    found = [row.get("path"), *(members.values() if isinstance(members, dict) else ())]
    return [one.path for one in found if isinstance(one, KeptFile) and one.is_input]


def _given(view: RunView, stage: PlannedStage, made: Stage[Any, Any], rows: Sequence[GivenRow]) -> tuple[Given, ...]:
    """The rows by class, in order."""
    reader, declared = Reader(view.run.store.stages, is_reference), declared_input(made)
    usual = stage.takes or f"{declared.__module__}:{declared.__qualname__}"
    by_kind: dict[str, list[Plain]] = {}
    for row in rows:
        plain = loaded(row.line)
        there = {text: KeptFile(text, is_input=True) for text in inputs_in(plain) if os.path.isfile(text)}
        reader.inputs = there
        by_kind.setdefault(stage.kinds.get(row.folder, usual), []).append(reader.given(plain))
    return tuple(Given(kind, found) for kind, found in by_kind.items())


def _check_files(stages: str, rows: Sequence[GivenRow]) -> None:
    """Raise StoreError where files that the tasks had are not there: each of them would fail."""
    named = {path for row in rows for path in references(loaded(row.line))}
    gone = sorted(path for path in named if not os.path.exists(os.path.join(stages, path)))
    if gone:
        raise StoreError(
            f"{plural(len(gone), 'file')} that the stage read, e.g. {gone[0]!a}: no longer there; choose other tasks "
            "with --tasks, or have them made again: hpcurate verify --repair, and after keep=results the run's command "
            "with keep=all and rerun="
        )


def _shards_of(view: RunView, stage: PlannedStage, rows: Sequence[GivenRow]) -> set[str]:
    """Shards of the stage that have these rows, those that tried them again included."""
    keys = {row.key for row in rows}
    return {row.shard for row in rows} | {
        line.id
        for line in view.lines(stage).values()
        if line.retries
        for part in line.inputs
        if any((part.stage, part.shard, number) in keys for number in range(part.lo, part.hi))
    }


def committed(shards: Iterable[CommittedShard], retried: Collection[tuple[str, int]], reader: Reader) -> Kept:
    """All rows of these shards, without dead letters that were tried again."""
    tasks, dropped, failed = list[Plain](), list[Plain](), list[Plain]()
    for shard in shards:
        tasks += reader.rows([loaded(line) for line in lines_of(shard, TASKS)])
        dropped += reader.rows([loaded(line) for line in lines_of(shard, DROPPED)])
        letters = shard.store.commits.dead_letters(shard.id) if shard.counts.failed else ()
        stand = [one for one in letters if one.row is None or (shard.id, one.row) not in retried]
        failed += reader.rows([json.loads(json.dumps(msgspec.to_builtins(one))) for one in stand])
    return Kept(tasks, dropped, failed)


def belonging(shards: Kept, chosen: Collection[str], now: Kept) -> Kept:
    """What became of the chosen tasks, among what became of all of their shards. Pure.

    A chain makes tasks of tasks that no row names as a parent: those that have come out again count, by their ids.
    """
    again = [{str(row["id"]) for row in rows} for rows in (now.tasks, now.dropped, now.failed)]
    found = set(chosen).union(*again)

    def belongs(row: Plain) -> bool:
        task = row.get("task")
        parents = (task if isinstance(task, dict) else row).get("parents") or ()
        return str(row["id"]) in found or not found.isdisjoint(parents)

    return Kept(*([row for row in rows if belongs(row)] for rows in (shards.tasks, shards.dropped, shards.failed)))


def missing_class(error: PipelineError, stage: str, folder: str) -> PipelineError:
    """A class of the run that is not to be found here, with where to type the command."""
    where = f"; the run's command was typed in {folder}" if folder else ""
    return PipelineError(f"stages.{stage}: {error}{where}; --frozen takes the code that the run has kept")
