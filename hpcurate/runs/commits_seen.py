"""What is committed of the stages, as a look finds it: names from listings, the rest from an index per fan-out folder.

Of a folder that nobody looks at everything is packed: a gate of a million shards has a thousand of them at a time.

A look lists a folder once, and one whose shards are all there only now and then. A shard that was committed and is not
listed any more is believed to be gone only after a second listing: a directory may be stale. Only reads.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import overload

import msgspec

from hpcurate.runs.fans_seen import CONFIRM_S, Fan, Part, Wanted, packed_ids
from hpcurate.runs.folded import Folded
from hpcurate.runs.lists_seen import LiveList
from hpcurate.store.commits import FanIndex
from hpcurate.store.layout import fan_of
from hpcurate.store.lists import ShardLine
from hpcurate.store.stage_store import StageStore
from hpcurate.store.stats import Committed
from hpcurate.system.clock import Clock
from hpcurate.system.garbage import uncollected

__all__ = ["CONFIRM_S", "CommitsSeen", "Done", "SeenList", "with_done"]


class SeenList(msgspec.Struct, frozen=True):
    """What is committed of one list."""

    done: Done
    """In the order of the list."""
    sums: Folded
    """Of these."""
    tasks: int
    """In all of the list."""
    weight: float
    """Of all of the list."""
    weight_done: float
    missing: tuple[str, ...]
    """Shards that were committed before and are not listed, until that is sure."""
    damaged: tuple[str, ...]
    """Shards that are listed and cannot be read."""
    unseen: tuple[str, ...] = ()
    """Those of them of which that may be a cache: this host has looked for them before they were committed."""
    unindexed: tuple[str, ...] = ()
    """Fan-out folders of which an index is to be written."""


class Done(Sequence[Committed]):
    """Committed shards of a list, in its order; those of one fan-out folder at a time are there as objects.

    Of a list that goes to and fro between folders all are, while somebody goes through them.
    """

    def __init__(self, lines: Sequence[ShardLine], parts: Sequence[Part], *, orderly: bool) -> None:
        self._lines, self._parts, self._orderly = lines, parts, orderly

    def __len__(self) -> int:
        return sum(part.sums.shards for part in self._parts)

    def __iter__(self) -> Iterator[Committed]:
        if self._orderly:
            for part in self._parts:
                yield from part.done()
            return
        found = {shard.shard: shard for part in self._parts for shard in part.done()}
        yield from (found[line.id] for line in self._lines if line.id in found)

    @overload
    def __getitem__(self, place: int) -> Committed: ...
    @overload
    def __getitem__(self, place: slice) -> list[Committed]: ...
    def __getitem__(self, place: int | slice) -> Committed | list[Committed]:
        return [*self][place]

    def __eq__(self, other: object) -> bool:
        if self is other or not isinstance(other, Sequence):
            return self is other
        return len(self) == len(other) and all(one == another for one, another in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as a list


class _List(msgspec.Struct):
    """The shards of a list."""

    fans: dict[str, Wanted]
    """By fan-out folder."""
    orderly: bool
    """Whether the list never comes back to a folder."""
    tasks: int
    weight: float

    @classmethod
    def of(cls, lines: Iterable[ShardLine]) -> _List:
        """In one pass."""
        fans: dict[str, tuple[list[str], array[float]]] = {}
        last, orderly, tasks, weight = "", True, 0, 0.0
        for line in lines:
            fan = fan_of(line.id)
            ids, weights = fans.setdefault(fan, ([], array("d")))
            orderly = orderly and (fan == last or not ids)
            ids.append(line.id)
            weights.append(line.weight)
            last, tasks, weight = fan, tasks + line.count, weight + line.weight
        return cls({fan: Wanted(packed_ids(ids), w) for fan, (ids, w) in fans.items()}, orderly, tasks, weight)


class CommitsSeen:
    """What is committed of the lists of all stages."""

    def __init__(self, clock: Clock, store: Callable[[str], StageStore]) -> None:
        self._clock, self._store = clock, store
        self._look = self._listings = 0
        self._fans: dict[tuple[str, str], Fan] = {}
        self._lists: dict[tuple[str, str], _List] = {}
        """(stage folder, list) → its shards."""
        self._parts: dict[tuple[str, str], dict[str, Part]] = {}
        """(stage folder, fan-out folder) → list → what is committed of it there."""
        self._seen: dict[tuple[str, str], tuple[list[Part], SeenList]] = {}

    def next_look(self) -> None:
        """From here on folders are listed again."""
        self._look += 1

    def of(self, folder: str, found: LiveList) -> SeenList:
        """What is committed of a list; the same object while nothing of it changes and all of it can be read."""
        with uncollected():  # of 100 000 shards: to look takes twice as long as to decode them
            return self._of(folder, found)

    def _of(self, folder: str, found: LiveList) -> SeenList:
        wanted = self._list(folder, found)
        parts = [self._part(folder, found.name, fan, one) for fan, one in wanted.fans.items()]
        before, seen = self._seen.get((folder, found.name), ([], None))
        if seen is None or not _same(before, parts):
            seen = _seen(found, wanted, parts)
        unindexed = tuple(fan for fan, part in zip(wanted.fans, parts, strict=True) if part.wants_index)
        seen = seen if seen.unindexed == unindexed else msgspec.structs.replace(seen, unindexed=unindexed)
        self._seen[folder, found.name] = (parts, seen)
        return seen

    def index_of(self, folder: str, name: str) -> FanIndex:
        """The index of a fan-out folder as it has to be written."""
        fan = self._fans[folder, name]
        found = fan.index(full=any(part.full for part in self._parts[folder, name].values()))
        fan.rest()
        return found

    def gone(self, folder: str, name: str) -> dict[str, str]:
        """Shards of a fan-out folder whose committed result is gone for sure → nonce of the attempt that made it."""
        return self._fans[folder, name].gone

    def index_written(self, folder: str, name: str) -> None:
        """It stands, or cannot be written: it is not asked for again."""
        fan = self._fans[folder, name]
        fan.indexed, fan.gone = packed_ids(sorted(fan.at.known)), {}
        fan.rest()
        for part in self._parts[folder, name].values():
            part.wants_index = False

    def _list(self, folder: str, found: LiveList) -> _List:
        if (folder, found.name) not in self._lists:
            self._lists[folder, found.name] = _List.of(found.lines)
        return self._lists[folder, found.name]

    def _part(self, folder: str, list_name: str, name: str, wanted: Wanted) -> Part:
        """What is committed of a list in a fan-out folder; it is listed if that is due."""
        if (folder, name) not in self._fans:
            self._fans[folder, name] = Fan.of(self._store(folder).commits, name, self._clock)
        fan, now, parts = self._fans[folder, name], self._clock.monotonic(), self._parts.setdefault((folder, name), {})
        part = parts.get(list_name)
        if fan.look != self._look and (part is None or not part.full or now - fan.listed >= CONFIRM_S):
            self._listings += 1
            fan.list_it(now, self._look, self._listings)
            if part.full if part and part.made >= fan.changed else frozenset(wanted.ids.open()) <= fan.at.names:
                fan.read_again(self._listings)
        if part is None or part.damaged or part.made < fan.changed:
            part = parts[list_name] = fan.part(wanted, self._listings, now)
        fan.rest()
        return part


def _same(before: Sequence[Part], parts: Sequence[Part]) -> bool:
    return len(before) == len(parts) and all(one is other for one, other in zip(before, parts, strict=True))


def _seen(found: LiveList, wanted: _List, parts: Sequence[Part]) -> SeenList:
    return SeenList(
        done=Done(found.lines, parts, orderly=wanted.orderly),
        sums=Folded.together(part.sums for part in parts),
        tasks=wanted.tasks,
        weight=wanted.weight,
        weight_done=sum(part.weight for part in parts),
        missing=tuple(sorted(shard for part in parts for shard in part.missing)),
        damaged=tuple(shard for part in parts for shard in part.damaged),
        unseen=tuple(shard for part in parts for shard in part.unseen),
    )


def with_done(lines: Iterable[ShardLine], done: Iterable[Committed]) -> Iterator[tuple[ShardLine, Committed | None]]:
    """Each line of a list, and what is committed of it, which is in the same order. Pure."""
    committed = iter(done)
    shard = next(committed, None)
    for line in lines:
        if shard is not None and shard.shard == line.id:
            yield line, shard
            shard = next(committed, None)
        else:
            yield line, None
