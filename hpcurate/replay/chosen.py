"""Which tasks of a stage are replayed: what it was given in a run, in order, where what became of it is committed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import attrs

from hpcurate.errors import ConfigError, StoreError
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.report.items import NO_FIT, rank_of
from hpcurate.report.rows import TASKS, Plain, lines_of, loaded, name_of, spelled
from hpcurate.report.run_view import CommittedShard, RunView
from hpcurate.store.lists import Input, ShardLine
from hpcurate.units import plural

__all__ = ["MOST", "GivenRow", "Which", "given_rows", "select"]

MOST = 1000
"""Tasks that are replayed without anybody saying how many."""
CANDIDATES = 5


@attrs.define(frozen=True)
class Which:
    """What was asked for: all, the first so many, or some by id or name."""

    first: int | None = None
    names: tuple[str, ...] = ()
    all: bool = False

    @classmethod
    def of(cls, words: Sequence[str]) -> Which:
        """From `all`, `first N`, or names. Raises ConfigError."""
        if list(words) == ["all"]:
            return cls(all=True)
        if words and words[0] == "first":
            if len(words) != 2 or not words[1].isdigit() or not int(words[1]):
                raise ConfigError(f"--tasks {' '.join(words)}: expected a number of tasks, e.g. --tasks first 20")
            return cls(first=int(words[1]))
        return cls(names=tuple(words))


@attrs.define(frozen=True)
class GivenRow:
    """A row that the stage was given."""

    folder: str
    """Of the stage that made it, or of the source."""
    shard: str
    """Shard of the replayed stage that it went into."""
    line: bytes
    key: tuple[str, str, int]
    """Folder, shard above, and number there: a row that was tried again is still one."""


def given_rows(view: RunView, stage: PlannedStage) -> Iterator[GivenRow]:
    """Rows of all committed shards, in order; of a row that was tried again, the place where it was tried first."""
    done = {shard.id for shard in view.committed(stage)}
    above, seen = _Above(view, stage), set[tuple[str, str, int]]()
    for line in view.lines(stage).values():
        for row in above.rows(line) if line.id in done else ():
            if not line.retries or row.key not in seen:
                yield row
            if view.retried(stage):
                seen.add(row.key)


class _Above:
    """What the stage reads. One shard of it is in memory."""

    def __init__(self, view: RunView, stage: PlannedStage) -> None:
        pipeline = view.frozen.pipeline
        self._shards: dict[str, dict[str, CommittedShard]] = {}
        for planned in (one for one in view.planned if one.name in stage.after):
            self._shards[planned.folder] = {shard.id: shard for shard in view.committed(planned)}
        if not stage.after:
            self._shards[pipeline.source.folder] = {shard.id: shard for shard in view.source()}
        self._open: tuple[str, str] | None = None
        self._lines: list[bytes] = []

    def rows(self, line: ShardLine) -> Iterator[GivenRow]:
        """Those of a shard of the stage."""
        for part in line.inputs:
            for number, text in enumerate(self._read(part)[part.lo : part.hi], part.lo):
                yield GivenRow(part.stage, line.id, text, (part.stage, part.shard, number))

    def _read(self, part: Input) -> list[bytes]:
        if self._open != (part.stage, part.shard):
            shard = self._shards[part.stage].get(part.shard)
            if shard is None or shard.counts.nonce != part.nonce:
                raise StoreError(
                    f"{part.stage}: shard {part.shard} is not the one that was read: hpcurate verify lists what is gone"
                )
            self._lines, self._open = list(lines_of(shard, TASKS)), (part.stage, part.shard)
        return self._lines


def select(stage: PlannedStage, rows: Iterator[GivenRow], count: int, which: Which) -> list[GivenRow]:
    """The rows that were asked for, of `count`. Raises ConfigError where that is none, or nobody has said how many."""
    if not count:
        raise ConfigError(f"{stage.name}: nothing of it is committed yet, so there is nothing to compare with")
    if (stage.relation.whole or stage.relation.grouped) and (which.names or which.first is not None):
        what = "all its tasks at once" if stage.relation.whole else "whole groups"
        raise ConfigError(f"--tasks: {stage.name} gets {what}, so all of them are replayed; type --tasks all")
    if which.names:
        return _named(stage.name, rows, which.names)
    if which.first is None and not which.all and count > MOST:
        raise ConfigError(f"{stage.name} was given {plural(count, 'task')}; type --tasks first 100, or --tasks all")
    return list(itertools.islice(rows, which.first))


def _named(stage: str, rows: Iterator[GivenRow], names: Sequence[str]) -> list[GivenRow]:
    """The one task that each name means."""
    best: dict[str, tuple[int, dict[str, tuple[GivenRow, Plain]]]] = {name: (NO_FIT, {}) for name in names}
    needles = {name: spelled(name) for name in names}
    for row in rows:
        fitting = [name for name in names if any(one in row.line for one in needles[name])]
        plain = loaded(row.line) if fitting else {}
        for name in fitting:
            rank, found = rank_of([name], plain), best[name]
            if rank < found[0]:
                best[name] = found = (rank, {})
            if rank == found[0] != NO_FIT:
                found[1][str(plain["id"])] = (row, plain)
    return [_one(stage, name, best[name][1]) for name in dict.fromkeys(names)]


def _one(stage: str, name: str, found: dict[str, tuple[GivenRow, Plain]]) -> GivenRow:
    if not found:
        raise ConfigError(f"--tasks {name!a}: {stage} was given no such task; hpcurate trace finds it by any name")
    if len(found) > 1 and name not in found:
        some = itertools.islice(found.items(), CANDIDATES)
        few = "; ".join(f"{item} ({name_of(plain)!a})" for item, (_, plain) in some)
        raise ConfigError(f"--tasks {name!a}: fits {len(found)} tasks: {few}; type more of one")
    return found[name][0] if name in found else next(iter(found.values()))[0]
