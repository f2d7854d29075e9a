"""Shard lists: what a stage's shards are, and nothing else. Slicing is pure; a list is written once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import attrs
import msgspec

from hpcurate.store.filesystem import Filesystem
from hpcurate.store.layout import StageFolder, fan_of, shard_id
from hpcurate.system.failpoints import failpoint

__all__ = [
    "Committed",
    "Input",
    "ShardLine",
    "Slicing",
    "count_shards",
    "gather_name",
    "read_list",
    "slice_shards",
    "write_list",
]


class Input(msgspec.Struct, frozen=True, array_like=True):
    """Rows [lo, hi) of one committed upstream shard."""

    stage: str
    """Folder of the upstream stage, `<name>-<fp12>`."""
    shard: str
    nonce: str
    lo: int
    hi: int


class ShardLine(msgspec.Struct, frozen=True):
    """One line of a shard list."""

    id: str
    weight: float
    count: int
    inputs: tuple[Input, ...]


class Committed(msgspec.Struct, frozen=True):
    """What readers need to know of a committed shard (from its `stats.json`, or a done index)."""

    shard: str
    nonce: str
    tasks_in: int
    tasks_out: int
    passed: int
    dropped: int
    failed: int
    weight_out: float
    seconds: float = 0.0


@attrs.define(frozen=True, kw_only=True)
class Slicing:
    """Targets for the size of a shard. They act when a list is made and do not change the output."""

    tasks: int = 100
    """Most tasks in one shard; 0: no bound."""
    weight: float = 0.0
    """Target weight of one shard, in the unit of the tasks' weight; 0: no bound."""
    gather: bool = False
    """One shard with everything."""


WeightsOf = Callable[[Committed], Sequence[float]]
"""Gives the weight of each row of a committed shard."""


@attrs.define
class _Piece:
    """A shard line in the making."""

    inputs: list[Input] = attrs.field(factory=list)
    weight: float = 0.0
    count: int = 0

    def fits(self, count: int, weight: float, slicing: Slicing) -> bool:
        if not self.count or slicing.gather:
            return True
        if slicing.tasks and self.count + count > slicing.tasks:
            return False
        return not slicing.weight or self.weight + weight <= slicing.weight

    def add(self, stage: str, shard: Committed, lo: int, hi: int, weight: float) -> None:
        last = self.inputs[-1] if self.inputs else None
        if last and last.shard == shard.shard and last.stage == stage and last.hi == lo:
            self.inputs[-1] = Input(stage, shard.shard, shard.nonce, last.lo, hi)
        else:
            self.inputs.append(Input(stage, shard.shard, shard.nonce, lo, hi))
        self.weight += weight
        self.count += hi - lo


def slice_shards(
    name: str, stage: str, upstream: Iterable[Committed], slicing: Slicing, weights: WeightsOf, start: int = 0
) -> list[ShardLine]:
    """Cut the rows of committed upstream shards into shards of about the target size, in order.

    Small neighbours are merged, empty shards make no line, large ones are cut. `weights(shard)` gives each
    row's weight and is asked only for shards that have to be cut. `start` is the first ordinal.
    """
    lines: list[ShardLine] = []
    piece = _Piece()
    for shard in upstream:
        for lo, hi, weight in _bounds(shard, slicing, weights):
            if not piece.fits(hi - lo, weight, slicing):
                lines.append(_line(name, start + len(lines), piece))
                piece = _Piece()
            piece.add(stage, shard, lo, hi, weight)
    if piece.count:
        lines.append(_line(name, start + len(lines), piece))
    return lines


def count_shards(weights: Iterable[float], slicing: Slicing) -> int:
    """How many shards rows of these weights make. Pure."""
    count, piece = 0, None
    for weight in weights:
        if piece is None or not piece.fits(1, weight, slicing):
            count, piece = count + 1, _Piece()
        piece.weight += weight
        piece.count += 1
    return count


def _bounds(shard: Committed, slicing: Slicing, weights: WeightsOf) -> Iterable[tuple[int, int, float]]:
    if not shard.tasks_out:
        return
    if _Piece(count=1).fits(shard.tasks_out - 1, shard.weight_out, slicing):
        yield 0, shard.tasks_out, shard.weight_out
        return
    for row, weight in enumerate(weights(shard)):
        yield row, row + 1, weight


def _line(name: str, ordinal: int, piece: _Piece) -> ShardLine:
    return ShardLine(shard_id(name, ordinal), round(piece.weight, 6), piece.count, tuple(piece.inputs))


def gather_name(shards: Iterable[Committed]) -> str:
    """List name of a gather stage: carries a digest of its inputs, so other inputs are another list."""
    import hashlib

    digest = hashlib.sha256("".join(f"{s.shard} {s.nonce}\n" for s in shards).encode()).hexdigest()
    return f"all.{digest[:8]}"


def write_list(filesystem: Filesystem, folder: StageFolder, name: str, lines: Sequence[ShardLine]) -> list[ShardLine]:
    """Publish a list, unless somebody has: then theirs counts. Returns the list that stands."""
    filesystem.make_folders(folder.lists)
    for fan in sorted({fan_of(line.id) for line in lines}):
        filesystem.make_folders(folder.shards(fan))
        filesystem.make_folders(folder.claims(fan))
    failpoint("list.before")
    encoder = msgspec.json.Encoder()
    filesystem.create(folder.list_file(name), b"".join(encoder.encode(line) + b"\n" for line in lines))
    failpoint("list.after")
    standing = read_list(filesystem, folder, name)
    assert standing is not None, f"list {name} vanished from {folder.path}"
    return standing


def read_list(filesystem: Filesystem, folder: StageFolder, name: str) -> list[ShardLine] | None:
    """The lines of a list, or None if it has not been made."""
    if f"{name}.jsonl" not in filesystem.names(folder.lists):
        return None
    decoder = msgspec.json.Decoder(ShardLine)
    return [decoder.decode(line) for line in filesystem.read(folder.list_file(name)).splitlines()]
