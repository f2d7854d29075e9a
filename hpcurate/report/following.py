"""Following rows through the stages: down by the ranges that shards read, up by the same. No shard is read twice.

The list of each stage names the rows of which shards above each of its shards reads, so only shards with a row that is
followed are opened. Within one, ids and `parents` say what became of it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import attrs
import msgspec

from hpcurate.errors import StoreError
from hpcurate.failures import DeadLetter
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.report.rows import DROPPED, LEFT_OUT, TASKS, Head, Plain, Row, head_of, lines_of, row_of
from hpcurate.report.run_view import CommittedShard, RunView
from hpcurate.store.dropped import DroppedRow, LeftOutRow
from hpcurate.store.lists import ShardLine


@attrs.define(eq=False)
class Outcome:
    """What one shard made of one row that it was given."""

    stage: PlannedStage
    row: Row
    shard: str
    committed: bool = False
    same: Row | None = None
    """The task as it was passed on."""
    children: list[Row] = attrs.field(factory=list)
    """Those of the tasks made of it and passed on that are followed."""
    passed_on: int = 0
    """So many tasks made of it were passed on."""
    drops: list[Drop] = attrs.field(factory=list)
    """Of the task, and of what members of a chain had made of it."""
    left_out: list[LeftOutRow] = attrs.field(factory=list)
    """What it, which went on, was left without."""
    letter: DeadLetter | None = None
    damage: str = ""
    """Why its shard cannot be read."""
    again: bool = False
    """A dead letter that a later shard tries again."""

    @property
    def known(self) -> bool:
        """Whether any row tells what became of it."""
        return bool(self.same or self.children or self.drops or self.letter)


@attrs.define(frozen=True)
class Drop:
    """A task that ended within a shard."""

    row: DroppedRow
    own: bool
    """It is the task itself, or all that was left of it."""

    @property
    def plain(self) -> Plain:
        """Its row; of one that no row could hold, only the id is known."""
        return self.row.task or {"id": self.row.id}


@attrs.define(frozen=True)
class _Place:
    """A row among those that a shard is given."""

    line: ShardLine
    ordinal: int
    row: Row


Followed = Mapping[Row, list[Outcome]]
"""A row → what became of it in each stage that reads it, in the order of the pipeline."""


class Follower:
    """Follows rows of one run."""

    def __init__(self, view: RunView) -> None:
        self._view = view
        self._lines: dict[str, dict[str, ShardLine]] = {}
        self._shards: dict[str, dict[str, CommittedShard]] = {}

    def lines(self, stage: PlannedStage) -> dict[str, ShardLine]:
        """The stage's shards and what each reads."""
        if stage.name not in self._lines:
            self._lines[stage.name] = self._view.lines(stage)
        return self._lines[stage.name]

    def shards(self, stage: PlannedStage | None) -> dict[str, CommittedShard]:
        """What is committed of a stage, or of the input."""
        name = stage.name if stage else ""
        if name not in self._shards:
            found = self._view.committed(stage) if stage else self._view.source()
            self._shards[name] = {shard.id: shard for shard in found}
        return self._shards[name]

    # -- down ---------------------------------------------------------------------------------------

    def down(self, roots: Iterable[Row], keep: Callable[[Row, Row], bool] = lambda row, child: True) -> Followed:
        """What became of these rows and of all that was made of them; `keep(row, child)`: of which children."""
        followed: dict[Row, list[Outcome]] = {}
        alive: dict[str, list[Row]] = {}
        for root in roots:
            alive.setdefault(root.folder, []).append(root)
        for stage in self._view.planned:
            rows = [row for folder in self.above(stage) for row in alive.get(folder, ())]
            for outcome in self._through(stage, rows):
                outcome.passed_on = len(outcome.children)
                outcome.children = [child for child in outcome.children if keep(outcome.row, child)]
                followed.setdefault(outcome.row, []).append(outcome)
                kept = [outcome.same] if outcome.same else []
                alive.setdefault(stage.folder, []).extend([*kept, *outcome.children])
            alive[stage.folder] = list({(r.shard, r.number): r for r in alive.get(stage.folder, ())}.values())
        return followed

    def above(self, stage: PlannedStage) -> list[str]:
        """Folders of the stages that it reads."""
        pipeline = self._view.frozen.pipeline
        return [pipeline.stage(name).folder for name in stage.after] or [pipeline.source.folder]

    def _through(self, stage: PlannedStage, rows: Sequence[Row]) -> Iterator[Outcome]:
        """What became of the rows in one stage, row by row."""
        places: dict[str, list[_Place]] = {}
        for place in _places(self.lines(stage).values(), rows) if rows else ():
            places.setdefault(place.line.id, []).append(place)
        found: dict[Row, list[Outcome]] = {}
        for shard, there in places.items():
            for outcome in self._in_shard(stage, shard, there):
                found.setdefault(outcome.row, []).append(outcome)
        for row in rows:
            outcomes = found.get(row) or [Outcome(stage, row, "")]
            for before in outcomes[:-1]:
                before.again = before.letter is not None
            yield from outcomes

    def _in_shard(self, stage: PlannedStage, name: str, places: Sequence[_Place]) -> list[Outcome]:
        shard = self.shards(stage).get(name)
        outcomes = [Outcome(stage, place.row, name, committed=shard is not None) for place in places]
        if shard is not None:
            try:
                _read_ends(shard, stage.folder, dict(zip([place.ordinal for place in places], outcomes, strict=True)))
            except StoreError as error:
                for outcome in outcomes:
                    outcome.damage = str(error)
        return outcomes

    # -- up -----------------------------------------------------------------------------------------

    def up(self, stage: PlannedStage, shard: str, ids: Iterable[str], name: str = "") -> list[Row]:
        """Rows that a shard was given of which a task of it was made: `ids` are its own and its parents'.

        Where none has such an id, a chain has made it of what it had made itself: then what has the same name counts.
        """
        line, wanted = self.lines(stage).get(shard), set(ids)
        if line is None:
            return []
        by_id = self._given(line, lambda text: line.count == 1 or head_of(text).id in wanted)
        return by_id or (self._given(line, lambda text: _name(json.loads(text)) == name) if name else [])

    def _given(self, line: ShardLine, wanted: Callable[[bytes], bool]) -> list[Row]:
        found = list[Row]()
        for part in line.inputs:
            there = self.shards(self._stage_of(part.stage)).get(part.shard)
            if there is not None and there.counts.nonce == part.nonce:
                rows = itertools.islice(enumerate(lines_of(there, TASKS)), part.lo, part.hi)
                found += [row_of(part.stage, there, number, text) for number, text in rows if wanted(text)]
        return found

    def stage_of(self, row: Row) -> PlannedStage | None:
        """The stage whose output a row is; None for the input."""
        return self._stage_of(row.folder)

    def _stage_of(self, folder: str) -> PlannedStage | None:
        return next((stage for stage in self._view.planned if stage.folder == folder), None)


# -- one shard --------------------------------------------------------------------------------------


def _places(lines: Iterable[ShardLine], rows: Sequence[Row]) -> Iterator[_Place]:
    """Where these rows stand among those that shards are given, in the order of the shards. Pure."""
    by_shard: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        by_shard.setdefault((row.folder, row.shard, row.nonce), []).append(row)
    for line in lines:
        before = 0
        for part in line.inputs:
            for row in by_shard.get((part.stage, part.shard, part.nonce), ()):
                if part.lo <= row.number < part.hi:
                    yield _Place(line, before + row.number - part.lo, row)
            before += part.hi - part.lo


class _DropHead(msgspec.Struct, frozen=True):
    id: str
    input: bool
    task: Head | None = None


def _read_ends(shard: CommittedShard, folder: str, outcomes: Mapping[int, Outcome]) -> None:
    """Fill in what the rows of a shard say about the inputs of these ordinals."""
    by_id: dict[str, list[Outcome]] = {}
    for outcome in outcomes.values():
        by_id.setdefault(outcome.row.id, []).append(outcome)
    for letter in shard.store.commits.dead_letters(shard.id) if shard.counts.failed else ():
        its = by_id.get(letter.id, []) if letter.row is None else [outcomes[n] for n in (letter.row,) if n in outcomes]
        for outcome in its:
            outcome.letter = letter
    for line in lines_of(shard, DROPPED):
        _add_drop(line, by_id)
    for line in lines_of(shard, LEFT_OUT) if shard.counts.left_out else ():
        _add_left_out(line, by_id)
    for number, line in enumerate(lines_of(shard, TASKS)):
        head = head_of(line)
        named = [name for name in dict.fromkeys((head.id, *head.parents)) if name in by_id]
        if named:
            _add_row(row_of(folder, shard, number, line), [one for name in named for one in by_id[name]])
    unknown = [outcome for outcome in outcomes.values() if not outcome.known]
    if unknown:
        _add_by_name(shard, folder, unknown)


def _add_drop(line: bytes, by_id: Mapping[str, list[Outcome]]) -> None:
    head = _drop_head(line)
    parents = head.task.parents if head.task else ()
    found = [one for name in dict.fromkeys((head.id, *parents)) for one in by_id.get(name, ())]
    if not found:
        return
    row = msgspec.convert(json.loads(line), DroppedRow)
    for outcome in found:
        if outcome.letter is None:
            outcome.drops.append(Drop(row, row.id == outcome.row.id))


def _add_left_out(line: bytes, by_id: Mapping[str, list[Outcome]]) -> None:
    if head_of(line).id in by_id:
        row = msgspec.convert(json.loads(line), LeftOutRow)
        for outcome in by_id[row.id]:
            outcome.left_out.append(row)


def _drop_head(line: bytes) -> _DropHead:
    try:
        return msgspec.json.decode(line, type=_DropHead)
    except (msgspec.DecodeError, UnicodeDecodeError):
        plain = json.loads(line)
        task = plain.get("task")
        return _DropHead(
            plain["id"], plain["input"], Head(task["id"], tuple(task.get("parents") or ())) if task else None
        )


def _add_row(row: Row, outcomes: Iterable[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.letter is None:
            if row.id == outcome.row.id:
                outcome.same = row
            else:
                outcome.children.append(row)


def _add_by_name(shard: CommittedShard, folder: str, unknown: Sequence[Outcome]) -> None:
    """A chain may have made a task of a task that it had made: no row has the one between, so what has the same name in
    the input counts as made of it.
    """
    for number, line in enumerate(lines_of(shard, TASKS)):
        row = row_of(folder, shard, number, line)
        for outcome in unknown:
            if _same_name(row.plain, outcome.row.plain):
                outcome.children.append(row)


def _same_name(one: Plain, other: Plain) -> bool:
    return any(one.get(key) and one.get(key) == other.get(key) for key in ("source", "path"))


def _name(plain: Plain) -> str:
    return str(plain.get("source") or plain.get("path") or "")
