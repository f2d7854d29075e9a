"""What is new, changed or no longer there since a source was taken in. Only reads."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import attrs
import msgspec

from hpcurate.errors import ConfigError
from hpcurate.fields import option
from hpcurate.source.base import hash64
from hpcurate.source.scan import Scan
from hpcurate.source.spool import Entry, Span, Spool
from hpcurate.source.states import state_taken
from hpcurate.source.taken import Taken

__all__ = ["KEEP", "Compared", "Edits", "compare"]


@attrs.define(frozen=True, kw_only=True)
class Edits:
    """What becomes of items that were changed, or are no longer there, after they were taken in."""

    changed: str = option("keep", "keep: report them, old results stay; redo: do them again", choices=("keep", "redo"))
    vanished: str = option(
        "keep", "keep: report them, old results stay; drop: leave them out", choices=("keep", "drop")
    )


KEEP = Edits()
"""What nobody asked for is not done."""


class Edited(NamedTuple):
    """An item that is not as it was taken in."""

    name: str
    shard: str
    """Of the source; it has the item's row."""
    id: str
    now: str
    """What its files look like now: see `state_taken`; empty where they are no longer there."""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """A scan beside what was taken in. Items are known by the `hash64` of their ids."""

    new: Spool
    """Items that no list has."""
    differing: dict[int, int]
    """Items that are not byte for byte what was taken in → their place in the scan."""
    gone: frozenset[int]
    """Items that are no longer there."""
    changed: tuple[Edited, ...]
    """Those of the differing that mean something else now."""
    vanished: tuple[Edited, ...]
    excluded: tuple[Edited, ...] = ()
    """Items that were taken in, and that somebody leaves out now. They are no longer there for the source."""

    def shards(self, edits: Edits) -> set[str]:
        """The shards that do not stand if these edits are taken over."""
        changed = self.changed if edits.changed == "redo" else ()
        vanished = self.vanished if edits.vanished == "drop" else ()
        return {one.shard for one in (*changed, *vanished, *self.excluded)}

    def now(self, entry: Entry, scan: Scan, edits: Edits) -> Entry | None:
        """An entry as it is to be from now on; None: left out."""
        number = hash64(entry.task.id)
        if number in self.gone and (edits.vanished == "drop" or scan.excludes(entry.task)):
            return None
        return scan.entry(self.differing[number]) if number in self.differing and edits.changed == "redo" else entry


def compare(taken: Taken, lists: Sequence[str], scan: Scan, *, most: int | None = None, gone: bool = True) -> Compared:
    """The scan beside these lists, with the first `most` of what is new.

    With `gone`, items of the lists that a limited scan did not reach are looked for; else they are left alone.
    """
    known, beside = _not_in_place(taken, lists, scan)
    new, differing = scan.copy([]), dict[int, int]()
    if not known and (most is None or most >= scan.count):
        new = scan.copy(beside)
    for entry in scan.within(beside) if not new.count else ():
        mark = known.pop(hash64(entry.task.id), None)
        if mark is None and (most is None or new.count < most):
            new.add(entry.row, entry.seen)
        elif mark is not None and mark != entry.mark:
            differing[hash64(entry.task.id)] = entry.place
    _look_beyond(known, differing, scan, gone)
    left = frozenset(known.keys() - scan.left_out)
    changed, vanished, excluded = _edited(taken, lists, scan, differing, left)
    return Compared(new=new, differing=differing, gone=left, changed=changed, vanished=vanished, excluded=excluded)


def only_new(scan: Scan) -> Compared:
    """Of a scan of what was added since: nothing else is different."""
    new = scan.copy([(0, scan.end)])
    return Compared(new=new, differing={}, gone=frozenset(), changed=(), vanished=())


def _not_in_place(taken: Taken, lists: Sequence[str], scan: Scan) -> tuple[dict[int, int], list[Span]]:
    """(items of the lists with their marks, spans of the scan) that are not the same at the same place in both.

    Of most inputs all of the lists is: nothing is kept in memory of them, and no row is read.
    """
    known, beside, lines, place = dict[int, int](), list[Span](), scan.lines(), scan.start
    for line in (line for name in lists for line in taken.lines(name)):
        now = b"".join(itertools.islice(lines, line.count))
        if now != taken.spooled(line):
            known.update((hash64(entry.task.id), entry.mark) for entry in taken.entries(line))
            beside.append((place, place + len(now)))
        place += len(now)
    return known, [*beside, (place, scan.end)]


def _look_beyond(known: dict[int, int], differing: dict[int, int], scan: Scan, gone: bool) -> None:
    """Take out of `known` what the source still has. What cannot be read to its end may have everything."""
    if not gone:
        known.clear()
    try:
        for entry in scan.beyond(known.keys() - scan.left_out):
            if known.pop(hash64(entry.task.id)) != entry.mark:
                differing[hash64(entry.task.id)] = entry.place
    except ConfigError:
        known.clear()


def _edited(
    taken: Taken, lists: Sequence[str], scan: Scan, differing: dict[int, int], gone: frozenset[int]
) -> tuple[tuple[Edited, ...], tuple[Edited, ...], tuple[Edited, ...]]:
    """(changed, vanished, excluded). The lists are read once more, if anything differs."""
    changed, vanished, excluded = list[Edited](), list[Edited](), list[Edited]()
    for line, entries in taken.shards(lists) if differing or gone else ():
        for entry in entries:
            number = hash64(entry.task.id)
            if number in gone:
                kind = excluded if scan.excludes(entry.task) else vanished
                kind.append(Edited(entry.name, line.id, entry.task.id, ""))
            elif number in differing and not entry.same_as(now := scan.entry(differing[number])):
                changed.append(Edited(entry.name, line.id, entry.task.id, state_taken(now)))
    return tuple(changed), tuple(vanished), tuple(excluded)
