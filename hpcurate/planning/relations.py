"""Relations: how a stage reads its upstreams, and so what its shard lists are. Pure.

No other module tests which relation it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, groupby, pairwise

import msgspec
from msgspec.structs import astuple

from hpcurate.planning.cutting import Cutter, Output, Rows, WeightsOf, line_id, named_by
from hpcurate.planning.ranges import HashRange, hash_ranges
from hpcurate.planning.slicing import Slicing, pieces
from hpcurate.planning.standing import Key, Standing, cover, cover_in_order
from hpcurate.store.layout import base, content_id, is_content_named
from hpcurate.store.lists import Input, ShardLine
from hpcurate.store.order import Order, Starts
from hpcurate.store.stats import Committed
from hpcurate.sums import StageSums

__all__ = ["Gather", "Groups", "OrderOf", "Parts", "Relation", "Slices", "Upstream", "is_up_to_date"]


class Upstream(msgspec.Struct, frozen=True):
    """What one upstream stage has committed: list name → its shards, complete and in order."""

    folder: str
    lists: Mapping[str, Sequence[Committed]]
    above: tuple[StageSums, ...] = ()
    """Of it and of the stages above it; for a stage that counts them, else empty."""
    results: str = ""
    """Names the values of the results among the parameters of the stage that reads it; empty where it has none."""

    def shards(self) -> Iterator[Committed]:
        """Those of all its lists, in order."""
        return (shard for shards in self.lists.values() for shard in shards)


Parts = tuple[Upstream, ...]
"""What goes into one list."""
OrderOf = Callable[[str, Output], Order]
"""(folder of a sort step, committed shard) → the order of its rows."""


def no_order(folder: str, shard: Output) -> Order:
    """Where no shard was sorted."""
    raise AssertionError(f"shard {shard.shard} of {folder} was not sorted")


class _AsUsual(msgspec.Struct, frozen=True):
    """What holds of a relation unless it says otherwise."""

    @property
    def counts(self) -> bool:
        """Whether what became of the tasks in the stages above goes into a list."""
        return False

    @property
    def whole(self) -> bool:
        """Whether `process` gets a whole shard in one call, also an empty one."""
        return False

    @property
    def grouped(self) -> bool:
        """Whether `process` gets whole groups."""
        return False

    def lists_of_format_1(self, upstreams: Sequence[Upstream]) -> dict[str, Parts]:
        """The same as `lists` in a store of format 1; empty where that is no other."""
        return {}


class Slices(_AsUsual, frozen=True, tag="slices", tag_field="relation"):
    """Ranges of upstream shards, cut and merged within the bounds. A list derives from one upstream list, or, where
    there are several upstreams, from all of them.
    """

    slicing: Slicing = Slicing()

    def lists(self, upstreams: Sequence[Upstream]) -> dict[str, Parts]:
        """List name, without a version → what goes into it."""
        if len(upstreams) > 1:
            return {content_name(GROUPED if _grouped(upstreams) else "join", upstreams): tuple(upstreams)}
        return {
            _derived(base(name), one.results): (msgspec.structs.replace(one, lists={name: shards}, above=()),)
            for one in upstreams
            for name, shards in one.lists.items()
        }

    def lists_of_format_1(self, upstreams: Sequence[Upstream]) -> dict[str, Parts]:
        """See `_AsUsual`."""
        if len(upstreams) < 2:
            return {}
        return {
            f"{name}@{one.folder}": (Upstream(one.folder, {name: shards}),)
            for one in upstreams
            for name, shards in one.lists.items()
        }

    def lines(
        self,
        name: str,
        parts: Parts,
        weights: WeightsOf,
        before: Sequence[Sequence[ShardLine]] = (),
        order: OrderOf = no_order,
    ) -> list[ShardLine]:
        """The lines of a version of a list. `before`: those of the earlier versions, oldest first.

        A line whose inputs all stand stays as it is, and with it what is committed of it; the other rows are cut
        again. In upstream order, by the first row of each line. Below a group stage lines are cut and never merged: a
        hash range that has not changed is the same lines, whatever its neighbours are.
        """
        apart = is_grouped(name)
        cutter = Cutter(name, self.slicing, weights, _results(parts), share_out=not apart)
        standing, kept = _standing(before, parts), set[str]()
        for part in parts:
            for shards in part.lists.values():
                for shard in shards:
                    for lo, hi, line in standing.pieces((part.folder, shard.shard, shard.nonce), shard.tasks_out):
                        if line is None:
                            cutter.cut(Rows(part.folder, Output.of(shard), lo, hi))
                        elif line.id not in kept:
                            kept.add(line.id)
                            cutter.keep(line)
                    if apart:
                        cutter.close()
                cutter.close()
        return cutter.lines

    def pieces(self, weights: Sequence[float], shards: Sequence[str] = ()) -> list[range]:
        """Rows of these weights, in order, as those of each shard that they make. `shards`: where each ended before."""
        return pieces(weights, self.slicing)


class Gather(msgspec.Struct, frozen=True, tag="gather", tag_field="relation"):
    """One shard with everything; also where there are no tasks, so that the stage sees that."""

    counts: bool = False
    """See `Slices`."""

    @property
    def whole(self) -> bool:
        """See `Slices`."""
        return True

    @property
    def grouped(self) -> bool:
        """See `Slices`."""
        return False

    def lists(self, upstreams: Sequence[Upstream]) -> dict[str, Parts]:
        """See `Slices`. The one list is named by its inputs: other inputs are another list."""
        return {content_name("all", upstreams): tuple(upstreams)}

    def lists_of_format_1(self, upstreams: Sequence[Upstream]) -> dict[str, Parts]:
        """See `Slices`."""
        shards = "".join(f"{s.shard} {s.nonce}\n" for one in upstreams for s in one.shards())
        import hashlib

        return {f"all.{hashlib.sha256(shards.encode()).hexdigest()[:8]}": tuple(upstreams)}

    def lines(
        self,
        name: str,
        parts: Parts,
        weights: WeightsOf,
        before: Sequence[Sequence[ShardLine]] = (),
        order: OrderOf = no_order,
    ) -> list[ShardLine]:
        """See `Slices`."""
        inputs = tuple(
            Input(part.folder, shard.shard, shard.nonce, 0, shard.tasks_out)
            for part in parts
            for shard in part.shards()
            if shard.tasks_out
        )
        weight = sum(round(sum(shard.weight_out for shard in part.shards()), 6) for part in parts)
        above, results = _above(parts), _results(parts)
        id, count = line_id(name, 0, inputs, above, results), sum(i.hi - i.lo for i in inputs)
        return [ShardLine(id, weight, count, inputs, above, results=results)]

    def pieces(self, weights: Sequence[float], shards: Sequence[str] = ()) -> list[range]:
        """See `Slices`."""
        return [range(len(weights))]


class Groups(_AsUsual, frozen=True, tag="groups", tag_field="relation"):
    """Whole groups: hash ranges of keys, from sort steps. One list derives from all upstreams.

    A line has the rows of its range of every sorted shard that has some, in order. Its id stands for them, so that a
    range without new rows is the same shard in each list.
    """

    slicing: Slicing = Slicing()

    @property
    def grouped(self) -> bool:
        """See `Slices`."""
        return True

    def lists(self, upstreams: Sequence[Upstream]) -> dict[str, Parts]:
        """See `Slices`."""
        return {content_name(GROUPED, upstreams): tuple(upstreams)}

    def lines(
        self,
        name: str,
        parts: Parts,
        weights: WeightsOf,
        before: Sequence[Sequence[ShardLine]] = (),
        order: OrderOf = no_order,
    ) -> list[ShardLine]:
        """See `Slices`."""
        shards = [(part.folder, Output.of(shard)) for part in parts for shard in part.shards() if shard.tasks_out]
        orders = [order(folder, shard) for folder, shard in shards]
        starts = [Sorted(*shard, Starts(one)) for shard, one in zip(shards, orders, strict=True)]
        return [_range_line(name, one, starts, _results(parts)) for one in hash_ranges(orders, self.slicing)]

    def pieces(self, weights: Sequence[float], shards: Sequence[str] = ()) -> list[range]:
        """See `Slices`. A group is in one shard, so what ended in one is tried again in one."""
        if not shards:
            return pieces(weights, self.slicing)
        runs = [len(list(run)) for _, run in groupby(shards)]
        stops = [0, *accumulate(runs)]
        return [range(start, stop) for start, stop in pairwise(stops)]


class Sorted(msgspec.Struct, frozen=True):
    """A shard of a sort step."""

    folder: str
    shard: Output
    starts: Starts


def _range_line(name: str, keys: HashRange, shards: Iterable[Sorted], results: str) -> ShardLine:
    """The rows with keys of that range."""
    inputs, offsets = list[Input](), list[int]()
    for one in shards:
        (low, offset), (high, _) = one.starts.at(keys.buckets.start), one.starts.at(keys.buckets.stop)
        if low < high:
            inputs.append(Input(one.folder, one.shard.shard, one.shard.nonce, low, high))
            offsets.append(offset)
    id = line_id(name, 0, inputs, results=results)
    return ShardLine(id, keys.weight, keys.rows, tuple(inputs), results=results, offsets=tuple(offsets))


Relation = Slices | Gather | Groups

GROUPED = "group"
"""Tag of lists of a group stage, and of what derives from them: their shards are content-named hash ranges."""


def is_grouped(list_name: str) -> bool:
    """Whether a list is of a group stage or of one below it."""
    return list_name.startswith(f"{GROUPED}.") and is_content_named(list_name)


def _grouped(upstreams: Iterable[Upstream]) -> bool:
    return any(is_grouped(name) for one in upstreams for name in one.lists)


def content_name(tag: str, upstreams: Sequence[Upstream]) -> str:
    """`<tag>.<digest of what goes into the list>`, lines and settings left out: these act when the list is made."""
    parts = [(one.folder, shard.shard, shard.nonce) for one in upstreams for shard in one.shards()]
    return f"{tag}.{content_id([*parts, *map(astuple, _above(upstreams)), *named_by(_results(upstreams))])}"


def _derived(name: str, results: str) -> str:
    """Of a list that derives from the upstream's list of that name: the same; with results their values name it, too.

    Not the upstream's shards: if these change, it has another version, in which lines that stand are kept. What is
    below a group stage stays that.
    """
    tag = GROUPED if is_grouped(name) else "result"
    return f"{tag}.{content_id([(name,), *named_by(results)])}" if results else name


def _results(upstreams: Iterable[Upstream]) -> str:
    """The same of all."""
    return next((one.results for one in upstreams), "")


def _above(upstreams: Iterable[Upstream]) -> tuple[StageSums, ...]:
    """Of all stages above, each once."""
    return tuple(dict.fromkeys(sums for one in upstreams for sums in one.above))


def is_up_to_date(lines: Iterable[ShardLine], parts: Parts) -> bool:
    """Whether a version of a list is what goes into it now: every row of each committed attempt once, and no other."""
    sizes = ((one.folder, s.shard, s.nonce, s.tasks_out) for one in parts for s in one.shards())
    return cover_in_order(lines, sizes) or cover(lines, _sizes(parts))


def _standing(before: Sequence[Sequence[ShardLine]], parts: Parts) -> Standing:
    """The lines of earlier versions that still stand; of two with the same row that of the newer version."""
    standing = Standing(_sizes(parts) if before else {})
    for lines in reversed(before):
        for line in lines:
            standing.add(line)
    return standing


def _sizes(parts: Parts) -> dict[Key, int]:
    return {(one.folder, s.shard, s.nonce): s.tasks_out for one in parts for s in one.shards() if s.tasks_out}
