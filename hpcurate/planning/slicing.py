"""Slicing: rows of committed upstream shards become shard lines of about the target size, in order. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import attrs

from hpcurate.store.layout import shard_id
from hpcurate.store.lists import Input, ShardLine
from hpcurate.store.stats import Committed

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

    def line(self, name: str, ordinal: int) -> ShardLine:
        return ShardLine(shard_id(name, ordinal), round(self.weight, 6), self.count, tuple(self.inputs))


def slice_shards(
    name: str, stage: str, upstream: Iterable[Committed], slicing: Slicing, weights: WeightsOf, start: int = 0
) -> list[ShardLine]:
    """Cut the rows of committed upstream shards into shards of about the target size, in order.

    Small neighbours are merged, empty shards make no line, large ones are cut. `weights` is asked only for shards
    that have to be cut. `start` is the first ordinal.
    """
    lines: list[ShardLine] = []
    piece = _Piece()
    for shard in upstream:
        for lo, hi, weight in _bounds(stage, shard, slicing, weights):
            if not piece.takes(hi - lo, weight, slicing):
                lines.append(piece.line(name, start + len(lines)))
                piece = _Piece()
            piece.add(stage, shard, lo, hi, weight)
    if piece.count:
        lines.append(piece.line(name, start + len(lines)))
    return lines


def count_shards(weights: Iterable[float], slicing: Slicing) -> int:
    """How many shards rows of these weights make."""
    count, piece = 0, None
    for weight in weights:
        if piece is None or not piece.takes(1, weight, slicing):
            count, piece = count + 1, _Piece()
        piece.weight += weight
        piece.count += 1
    return count


def _bounds(stage: str, shard: Committed, slicing: Slicing, weights: WeightsOf) -> Iterable[tuple[int, int, float]]:
    if not shard.tasks_out:
        return
    if slicing.fits(shard.tasks_out, shard.weight_out):
        yield 0, shard.tasks_out, shard.weight_out
        return
    for row, weight in enumerate(weights(stage, shard)):
        yield row, row + 1, weight
