"""Retries: rows that ended as dead letters, as shard lines of the stage in which they did. Pure.

Such a line reads the rows that went in, upstream, and names those of the stage's own shards that it tries again. It
stands as long as these shards are committed as they were, and no other line tries the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from hpcurate.planning.relations import Relation
from hpcurate.planning.standing import Key, Standing
from hpcurate.store.layout import content_id
from hpcurate.store.lists import Input, ShardLine
from hpcurate.sums import StageSums

__all__ = ["RetriedRow", "StandingRetries", "failed_rows", "is_live", "retry_lines", "retry_name", "standing_retries"]


class RetriedRow(msgspec.Struct, frozen=True):
    """A row that ended as a dead letter."""

    ended: Input
    """It, among those that went into a shard of the stage."""
    given: Input
    """The same row upstream."""
    weight: float
    results: str = ""
    """Of its shard: see `ShardLine`."""


def failed_rows(folder: str, line: ShardLine, nonce: str, weights: Mapping[int, float]) -> list[RetriedRow]:
    """Dead letters of one committed shard, by their row, as what is tried again."""
    given = list(_singles(line.inputs))
    return [
        RetriedRow(Input(folder, line.id, nonce, row, row + 1), given[row], weight, line.results)
        for row, weight in sorted(weights.items())
    ]


def retry_lines(relation: Relation, rows: Sequence[RetriedRow], above: tuple[StageSums, ...] = ()) -> list[ShardLine]:
    """These rows as lines of a size that the stage's settings ask for, in order. `above`: for a stage that counts."""
    pieces = relation.pieces([row.weight for row in rows], [row.ended.shard for row in rows]) if rows else []
    return [_line(rows[piece.start : piece.stop], above) for piece in pieces]


def retry_name(lines: Iterable[ShardLine]) -> str:
    """Name of the list of these lines: the same lines are the same list, whoever makes it."""
    return f"retry.{content_id((line.id,) for line in lines)}"


class StandingRetries(msgspec.Struct, frozen=True):
    """What of a list of retries stands."""

    kept: tuple[ShardLine, ...]
    loose: tuple[RetriedRow, ...] = ()
    """Rows that stand and whose line does not."""

    @property
    def count(self) -> int:
        """Rows that stand."""
        return sum(line.count for line in self.kept) + len(self.loose)

    @property
    def ended(self) -> Iterator[Input]:
        """These rows, among those that went into the stage's shards."""
        yield from (ended for line in self.kept for ended in line.retries)
        yield from (row.ended for row in self.loose)

    def lines(self, relation: Relation) -> list[ShardLine]:
        """The lines of the list's next version."""
        return [*self.kept, *retry_lines(relation, self.loose)]


def standing_retries(
    versions: Sequence[Sequence[ShardLine]], before: Sequence[ShardLine], sizes: Mapping[Key, int]
) -> StandingRetries:
    """What stands of a list of retries, of which there are these versions, oldest first.

    `before`: lines of the lists of retries before it; `sizes`: the stage's committed attempts and their rows.
    """
    standing = _beside(before, sizes)
    kept = tuple(line for lines in reversed(versions) for line in lines if standing.add(line))
    rows = (row for line in versions[0] for row in _rows(line))
    return StandingRetries(kept, tuple(row for row in rows if standing.add(_line([row]))))


def is_live(lines: Sequence[ShardLine], before: Sequence[ShardLine], sizes: Mapping[Key, int]) -> bool:
    """Whether each of these lines stands: see `standing_retries`."""
    standing = _beside(before, sizes)
    return all(standing.add(line) for line in lines)


def _beside(before: Sequence[ShardLine], sizes: Mapping[Key, int]) -> Standing:
    standing = Standing(sizes)
    for line in before:
        standing.add(line)
    return standing


def _line(rows: Sequence[RetriedRow], above: tuple[StageSums, ...] = ()) -> ShardLine:
    inputs, retries = _merged(row.given for row in rows), _merged(row.ended for row in rows)
    parts = [(i.stage, i.shard, i.nonce, i.lo, i.hi) for i in (*inputs, *retries)]
    weight = round(sum(row.weight for row in rows), 6)
    return ShardLine(content_id(parts), weight, len(rows), inputs, above, retries, rows[0].results)


def _rows(line: ShardLine) -> Iterator[RetriedRow]:
    for ended, given in zip(_singles(line.retries), _singles(line.inputs), strict=True):
        yield RetriedRow(ended, given, line.weight / line.count, line.results)


def _singles(ranges: Iterable[Input]) -> Iterator[Input]:
    for one in ranges:
        for row in range(one.lo, one.hi):
            yield Input(one.stage, one.shard, one.nonce, row, row + 1)


def _merged(rows: Iterable[Input]) -> tuple[Input, ...]:
    merged: list[Input] = []
    for row in rows:
        last = merged[-1] if merged else None
        if last and (last.stage, last.shard, last.nonce, last.hi) == (row.stage, row.shard, row.nonce, row.lo):
            merged[-1] = Input(row.stage, row.shard, row.nonce, last.lo, row.hi)
        else:
            merged.append(row)
    return tuple(merged)
