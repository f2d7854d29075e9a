"""Slicing: rows of committed upstream shards become shard lines of about the target size, in order. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import attrs

from hpcurate.store.layout import content_id, is_content_named, shard_id
from hpcurate.store.lists import Input, ShardLine
from hpcurate.store.stats import Committed
from hpcurate.task import StageSums

WeightsOf = Callable[[str, Committed], Sequence[float]]
"""(stage folder, committed shard) → the weight of each of its rows."""


@attrs.define(frozen=True, kw_only=True)
class Slicing:
    """How large a shard may be. It acts when a list is made, and does not change the output."""

    tasks: int = 100
    """Most tasks in one shard; 0: no bound."""
    weight: float = 0.0
    """Target weight of one shard, in the unit of the tasks' weight; 0: no bound."""

    def fits(self, count: int, weight: float) -> bool:
        """Whether so many tasks of this weight may be in one shard."""
        return not (self.tasks and count > self.tasks) and (not self.weight or weight <= self.weight)


@attrs.define
class _Piece:
    """A shard line in the making."""

    inputs: list[Input] = attrs.field(factory=list)
    weight: float = 0.0
    count: int = 0

    def takes(self, count: int, weight: float, slicing: Slicing) -> bool:
        return not self.count or slicing.fits(self.count + count, self.weight + weight)

    def add(self, stage: str, shard: Committed, lo: int, hi: int, weight: float) -> None:
        last = self.inputs[-1] if self.inputs else None
        if last and last.shard == shard.shard and last.stage == stage and last.hi == lo:
            self.inputs[-1] = Input(stage, shard.shard, shard.nonce, last.lo, hi)
        else:
            self.inputs.append(Input(stage, shard.shard, shard.nonce, lo, hi))
        self.weight += weight
        self.count += hi - lo

    def line(self, name: str, ordinal: int, results: str) -> ShardLine:
        id = line_id(name, ordinal, self.inputs, results=results)
        return ShardLine(id, round(self.weight, 6), self.count, tuple(self.inputs), results=results)


@attrs.define(frozen=True)
class Rows:
    """Rows [lo, hi) of a committed shard of a stage."""

    stage: str
    shard: Committed
    lo: int
    hi: int

    @property
    def whole(self) -> bool:
        """Whether it is all of the shard."""
        return self.hi - self.lo == self.shard.tasks_out


def line_id(
    name: str, ordinal: int, inputs: Sequence[Input], above: Sequence[StageSums] = (), results: str = ""
) -> str:
    """Id of a line: a number within its list, or, where lists are named by what goes into them, so is the line."""
    if is_content_named(name):
        parts = [(i.stage, i.shard, i.nonce, i.lo, i.hi) for i in inputs]
        return content_id([*parts, *map(attrs.astuple, above), *named_by(results)])
    return shard_id(name, ordinal)


def named_by(results: str) -> list[tuple[str, ...]]:
    """What results add to a name that stands for its content; nothing where there are none."""
    return [("results", results)] if results else []


@attrs.define
class Cutter:
    """Makes the lines of one list, in order.

    Small neighbours are merged, empty shards make no line, large ones are cut. `weights` is asked only for shards that
    have to be cut.
    """

    name: str
    slicing: Slicing
    weights: WeightsOf
    results: str = ""
    lines: list[ShardLine] = attrs.field(factory=list)
    _new: int = 0
    _piece: _Piece = attrs.field(factory=_Piece)

    def cut(self, rows: Rows) -> None:
        """Add rows."""
        for lo, hi, weight in _bounds(rows, self.slicing, self.weights):
            if not self._piece.takes(hi - lo, weight, self.slicing):
                self.close()
            self._piece.add(rows.stage, rows.shard, lo, hi, weight)

    def keep(self, line: ShardLine) -> None:
        """Add a line that stands already."""
        self.close()
        self.lines.append(line)

    def close(self) -> None:
        """What is added next is in another line."""
        if self._piece.count:
            self.lines.append(self._piece.line(self.name, self._new, self.results))
            self._new, self._piece = self._new + 1, _Piece()


def pieces(weights: Iterable[float], slicing: Slicing) -> Iterator[range]:
    """Rows of these weights as the rows of each shard that they make."""
    first, piece = 0, _Piece()
    for row, weight in enumerate(weights):
        if not piece.takes(1, weight, slicing):
            yield range(first, row)
            first, piece = row, _Piece()
        piece.weight += weight
        piece.count += 1
    if piece.count:
        yield range(first, first + piece.count)


def _bounds(rows: Rows, slicing: Slicing, weights: WeightsOf) -> Iterable[tuple[int, int, float]]:
    if rows.lo == rows.hi:
        return
    if rows.whole and slicing.fits(rows.shard.tasks_out, rows.shard.weight_out):
        yield 0, rows.shard.tasks_out, rows.shard.weight_out
        return
    for row, weight in enumerate(weights(rows.stage, rows.shard)[rows.lo : rows.hi], rows.lo):
        yield row, row + 1, weight
