"""Relations: how a stage reads its upstreams, and so what its shard lists are. Pure.

No other module tests which relation it has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import attrs
import msgspec

from hpcurate.planning.slicing import Slicing, WeightsOf, count_shards, slice_shards
from hpcurate.store.layout import shard_id
from hpcurate.store.lists import Input, ShardLine
from hpcurate.store.stats import Committed

__all__ = ["Gather", "Relation", "Slices", "Upstream", "gather_name"]


@attrs.define(frozen=True)
class Upstream:
    """What one upstream stage has committed: list name → its shards, complete and in order."""

    folder: str
    lists: Mapping[str, Sequence[Committed]]

    def shards(self) -> list[Committed]:
        """Those of all its lists, in order."""
        return [shard for shards in self.lists.values() for shard in shards]


class Slices(msgspec.Struct, frozen=True, tag="slices", tag_field="relation"):
    """Ranges of upstream shards, cut and merged to the target size. A list derives from one upstream list."""

    slicing: Slicing = Slicing()

    @property
    def whole(self) -> bool:
        """Whether `process` gets a whole shard in one call, also an empty one."""
        return False

    def lists(self, upstreams: Sequence[Upstream]) -> dict[str, tuple[Upstream, ...]]:
        """List name → what goes into it: that of the upstream list, with its folder where there are several."""
        return {
            f"{name}@{one.folder}" if len(upstreams) > 1 else name: (Upstream(one.folder, {name: shards}),)
            for one in upstreams
            for name, shards in one.lists.items()
        }

    def lines(self, name: str, parts: Sequence[Upstream], weights: WeightsOf) -> list[ShardLine]:
        """The lines of a list."""
        lines: list[ShardLine] = []
        for part in parts:
            lines += slice_shards(name, part.folder, part.shards(), self.slicing, weights, len(lines))
        return lines

    def count(self, weights: Iterable[float]) -> int:
        """How many shards rows of these weights make."""
        return count_shards(weights, self.slicing)


class Gather(msgspec.Struct, frozen=True, tag="gather", tag_field="relation"):
    """One shard with everything; also where there are no tasks, so that the stage sees that."""

    @property
    def whole(self) -> bool:
        """See `Slices`."""
        return True

    def lists(self, upstreams: Sequence[Upstream]) -> dict[str, tuple[Upstream, ...]]:
        """See `Slices`. The one list is named by its inputs: other inputs are another list."""
        return {gather_name(shard for one in upstreams for shard in one.shards()): tuple(upstreams)}

    def lines(self, name: str, parts: Sequence[Upstream], weights: WeightsOf) -> list[ShardLine]:
        """See `Slices`."""
        inputs = tuple(
            Input(part.folder, shard.shard, shard.nonce, 0, shard.tasks_out)
            for part in parts
            for shard in part.shards()
            if shard.tasks_out
        )
        weight = sum(round(sum(shard.weight_out for shard in part.shards()), 6) for part in parts)
        return [ShardLine(shard_id(name, 0), weight, sum(i.hi - i.lo for i in inputs), inputs)]

    def count(self, weights: Iterable[float]) -> int:
        """See `Slices`."""
        return 1


Relation = Slices | Gather


def gather_name(shards: Iterable[Committed]) -> str:
    """List name of a gather: `all.<digest of shards and nonces>`."""
    digest = hashlib.sha256("".join(f"{s.shard} {s.nonce}\n" for s in shards).encode()).hexdigest()
    return f"all.{digest[:8]}"
