"""Cutting: rows of committed upstream shards become the shard lines of a list, in order. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec
from msgspec.structs import astuple

from hpcurate.planning.slicing import Load, Slicing, evenly, too_few
from hpcurate.store.layout import content_id, is_content_named, shard_id
from hpcurate.store.lists import Input, ShardLine
from hpcurate.store.stats import Committed
from hpcurate.sums import StageSums


class Output(msgspec.Struct, frozen=True):
    """What a committed shard has passed on. All that is known of it is four times as much, in memory."""

    shard: str
    nonce: str
    tasks_out: int
    weight_out: float

    @classmethod
    def of(cls, shard: Committed) -> Output:
        """A part of what is known of it."""
        return cls(shard.shard, shard.nonce, shard.tasks_out, shard.weight_out)


WeightsOf = Callable[[str, Output], Sequence[float]]
"""(stage folder, committed shard) → the weight of each of its rows."""


class Rows(msgspec.Struct, frozen=True):
    """Rows [lo, hi) of a committed shard of a stage."""

    stage: str
    shard: Output
    lo: int
    hi: int

    @property
    def count(self) -> int:
        """How many."""
        return self.hi - self.lo

    @property
    def whole(self) -> bool:
        """Whether it is all of the shard."""
        return self.count == self.shard.tasks_out


def line_id(
    name: str, ordinal: int, inputs: Sequence[Input], above: Sequence[StageSums] = (), results: str = ""
) -> str:
    """Id of a line: a number within its list, or, where lists are named by what goes into them, so is the line."""
    if is_content_named(name):
        parts = [(i.stage, i.shard, i.nonce, i.lo, i.hi) for i in inputs]
        return content_id([*parts, *map(astuple, above), *named_by(results)])
    return shard_id(name, ordinal)


def named_by(results: str) -> list[tuple[str, ...]]:
    """What results add to a name that stands for its content; nothing where there are none."""
    return [("results", results)] if results else []


Unit = tuple[Rows, float]
"""Rows that are not cut, and their weight."""


class _Piece(msgspec.Struct):
    """A shard line in the making."""

    inputs: list[Input] = msgspec.field(default_factory=list)
    load: Load = msgspec.field(default_factory=Load)

    def add(self, unit: Unit) -> None:
        rows, weight = unit
        last, stage, shard = self.inputs[-1] if self.inputs else None, rows.stage, rows.shard
        if last and last.shard == shard.shard and last.stage == stage and last.hi == rows.lo:
            self.inputs[-1] = Input(stage, shard.shard, shard.nonce, last.lo, rows.hi)
        else:
            self.inputs.append(Input(stage, shard.shard, shard.nonce, rows.lo, rows.hi))
        self.load.add(rows.count, weight)

    def line(self, name: str, ordinal: int, results: str) -> ShardLine:
        id = line_id(name, ordinal, self.inputs, results=results)
        return ShardLine(id, round(self.load.weight, 6), self.load.count, tuple(self.inputs), results=results)


class Cutter(msgspec.Struct):
    """Makes the lines of one list, in order.

    Small neighbours are merged, empty shards make no line, large ones are cut; where that makes too few lines of an
    upstream list, its rows are shared out evenly. Other upstream lists never move the cuts of this one: its lines keep
    their names as the input grows. `weights` is asked only for shards that have to be cut.
    """

    name: str
    slicing: Slicing
    weights: WeightsOf
    results: str = ""
    share_out: bool = True
    """Whether rows that make too few lines are shared out evenly."""
    lines: list[ShardLine] = msgspec.field(default_factory=list)
    """Of the upstream lists that are closed."""
    _items: list[list[Rows] | ShardLine] = msgspec.field(default_factory=list)
    """What was added of the next: runs of rows, and lines between them. No line has rows of two runs."""
    _new: int = 0

    def cut(self, rows: Rows) -> None:
        """Add rows."""
        last = self._items[-1] if self._items else None
        if isinstance(last, list):
            last.append(rows)
        else:
            self._items.append([rows])

    def keep(self, line: ShardLine) -> None:
        """Add a line that stands already."""
        self._items.append(line)

    def close(self) -> None:
        """Make the lines of what was added; what is added next is another upstream list."""
        made = iter(self._pieces([item for item in self._items if isinstance(item, list)]))
        for item in self._items:
            if isinstance(item, ShardLine):
                self.lines.append(item)
            else:
                self.lines += map(self._line, next(made))
        self._items = []

    def _line(self, piece: _Piece) -> ShardLine:
        self._new += 1
        return piece.line(self.name, self._new - 1, self.results)

    def _pieces(self, runs: Sequence[Sequence[Rows]]) -> list[list[_Piece]]:
        """Of each run."""
        found = [list(self._within_bounds(run)) for run in runs]
        if not self.share_out or not too_few(
            sum(map(len, found)), [sum(rows.count for rows in run) for run in runs], self.slicing
        ):
            return found
        singles = [[unit for rows in run for unit in self._singles(rows)] for run in runs]
        shared = evenly([[weight for _, weight in run] for run in singles], self.slicing)
        return [[_of(run[one.start : one.stop]) for one in ranges] for run, ranges in zip(singles, shared, strict=True)]

    def _within_bounds(self, run: Iterable[Rows]) -> Iterator[_Piece]:
        piece = _Piece()
        for rows in run:
            for unit in self._units(rows):
                if not piece.load.takes(unit[0].count, unit[1], self.slicing):
                    yield piece
                    piece = _Piece()
                piece.add(unit)
        if piece.load.count:
            yield piece

    def _units(self, rows: Rows) -> Iterable[Unit]:
        """As large as the bounds allow: the rows of a whole shard, or else each."""
        if rows.whole and self.slicing.fits(rows.count, rows.shard.weight_out):
            return [(rows, rows.shard.weight_out)] if rows.count else []
        return self._singles(rows)

    def _singles(self, rows: Rows) -> Iterable[Unit]:
        if rows.whole and rows.count <= 1:
            return [(rows, rows.shard.weight_out)] * rows.count
        weights = self.weights(rows.stage, rows.shard)[rows.lo : rows.hi]
        numbered = enumerate(weights, rows.lo)
        return [(Rows(rows.stage, rows.shard, row, row + 1), weight) for row, weight in numbered]


def _of(units: Iterable[Unit]) -> _Piece:
    piece = _Piece()
    for unit in units:
        piece.add(unit)
    return piece
