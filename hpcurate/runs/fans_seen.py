"""What is known of one fan-out folder with committed shards: names from listings, the rest from its index. Only reads.

While nobody looks at it everything is packed.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

import msgspec

from hpcurate.runs.beats import Stillness
from hpcurate.runs.folded import Folded
from hpcurate.store.commits import INDEX_FORMAT, PART, Commits, FanIndex
from hpcurate.store.packed import Packed, decoded, encoded
from hpcurate.store.stats import Committed
from hpcurate.system.clock import Clock

__all__ = ["CONFIRM_S", "Fan", "Part", "Read", "Wanted", "packed_ids"]

CONFIRM_S = 60.0
"""So long after a listing that lacks a committed shard another one has to lack it, too, before it is done again; and so
often is a folder listed again in which every shard was there."""

ENOUGH = 100
"""So many shards of a folder that is not full have to be without an index before it is written again."""


class Read(msgspec.Struct):
    """What was read of one fan-out folder, by shard."""

    found: dict[str, Committed] = msgspec.field(default_factory=dict)
    stamps: dict[str, int] = msgspec.field(default_factory=dict)
    """The folder's stamp before it was read."""
    before: dict[str, str] = msgspec.field(default_factory=dict)
    """Shards that were committed at some time → nonce; empty where it was not read."""
    names: frozenset[str] = frozenset()
    """Those that are listed."""
    unread: set[str] = msgspec.field(default_factory=set)
    """Shards that were listed and not found."""

    @property
    def known(self) -> frozenset[str]:
        """Those that are listed and were read."""
        return self.names & self.found.keys()


_read = msgspec.json.Decoder(Read)
_ids = msgspec.json.Decoder(list[str])


def _opened(data: bytes) -> Read:
    return decoded(_read, data)


class Wanted(msgspec.Struct):
    """The shards of one list in one fan-out folder."""

    ids: Packed[list[str]]
    """In the order of the list."""
    weights: array[float]


class Part(msgspec.Struct):
    """What is committed of one list in one fan-out folder."""

    made: int
    """After how many listings of the process."""
    full: bool
    """Whether all of it was listed."""
    ids: Packed[list[str]]
    """Of those that were read, in the order of the list."""
    read: Packed[Read]
    sums: Folded
    """Of those."""
    weight: float
    """Of their lines."""
    missing: tuple[str, ...]
    damaged: tuple[str, ...]
    unseen: tuple[str, ...]
    wants_index: bool

    def done(self) -> list[Committed]:
        """Those that were read."""
        found = self.read.open().found
        return [found[shard] for shard in self.ids.open()]


class Fan(msgspec.Struct):
    """What is known of one fan-out folder."""

    commits: Commits
    name: str
    still: Stillness
    """For how long each of these is not listed, or listed and not found."""
    awake: Read | None
    """While somebody looks; None: see `packed`."""
    indexed: Packed[list[str]]
    """Shards that the index has as they are."""
    packed: Packed[Read] | None = None
    """The same; None: it is no longer so."""
    lost: dict[str, float] = msgspec.field(default_factory=dict)
    """Those that were committed and are not listed → for how many seconds."""
    names: int = 0
    """Hash of the names that were listed."""
    stamp: int = -1
    read_at: int = -1
    """Stamp at which all shards were read."""
    listed: float = float("-inf")
    look: int = -1
    changed: int = 0
    """Listing, of all of the process, in which the names last changed."""
    gone: dict[str, str] = msgspec.field(default_factory=dict)
    """Shards that are gone for sure, and that nobody has written down yet → nonce."""

    @classmethod
    def of(cls, commits: Commits, name: str, clock: Clock) -> Fan:
        """With what the index has."""
        index = commits.read_index(name) or FanIndex(stamp=-1, shards=())
        found = {shard.shard: shard for shard in index.shards if index.whole}
        before = {shard.shard: shard.nonce for shard in index.shards}
        read = Read(found, dict.fromkeys(found, index.stamp), before=before)
        return cls(commits, name, Stillness(clock), read, packed_ids([*found]))

    @property
    def at(self) -> Read:
        """What was read, to look at."""
        if self.awake is None:
            assert self.packed is not None
            self.awake = self.packed.open()
        return self.awake

    @property
    def change(self) -> Read:
        """The same, to change it."""
        found, self.packed = self.at, None
        return found

    def rest(self) -> Packed[Read]:
        """Nobody looks at it for now."""
        if self.packed is None:
            self.packed = Packed(encoded(self.at), _opened)
        self.awake = None
        return self.packed

    def list_it(self, now: float, look: int, number: int) -> None:
        """List the folder: the listing of that number."""
        first, self.look, self.listed = self.look < 0, look, now
        self.stamp, names = self.commits.listing(self.name)
        before, self.names = self.names, hash(names)
        if first or before != self.names:
            self.changed = number
        elif not self.lost:
            return
        self.change.names = names
        self.at.before = {**dict.fromkeys(names, ""), **self.at.before}
        self._look_for_lost(now, number)

    def _look_for_lost(self, now: float, number: int) -> None:
        at = self.change
        for shard in self.lost.keys() & at.names:
            self.still.forget(shard)
        self.lost = {shard: self.still.of(shard, b"lost", now) for shard in sorted(at.before.keys() - at.names)}
        for shard in [shard for shard, lost_s in self.lost.items() if lost_s >= CONFIRM_S]:
            self._forget(shard)
            self.changed = number
        for shard in self.lost:
            at.found.pop(shard, None)

    def _forget(self, shard: str) -> None:
        del self.lost[shard]
        self.still.forget(shard)
        self.change.found.pop(shard, None)
        self.gone[shard] = self.at.before.pop(shard)

    def read_again(self, number: int) -> None:
        """Every shard is there. What was read before the folder changed may be of an attempt that was replaced since:
        purged, and done again by another call, while this one did not look.
        """
        if self.read_at == self.stamp:
            return
        before, sure = {shard: self.at.found[shard] for shard in sorted(self.at.known)}, True
        for shard in self.read(before, again=True):
            at, self.indexed = self.change, packed_ids([])  # the index has another stamp
            now = at.found.get(shard)
            if now is None:  # purged, and a stale listing has it yet
                at.found[shard], sure = before[shard], False
            elif now.nonce != before[shard].nonce:
                self.changed = number
        self.read_at = self.stamp if sure else -1

    def read(self, shards: Iterable[str], *, again: bool = False) -> tuple[str, ...]:
        """Those of these listed shards that had to be read; `again`: also if it was before the folder last changed.

        They are known now, but for the damaged ones.
        """
        at = self.at
        wanted = tuple(one for one in shards if one not in at.found or (again and at.stamps[one] != self.stamp))
        for shard, found in zip(wanted, self.commits.read_many(wanted), strict=True):
            at = self.change
            if isinstance(found, Committed):
                at.found[shard], at.stamps[shard], at.before[shard] = found, self.stamp, found.nonce
                continue
            at.found.pop(shard, None)
            if isinstance(found, OSError):
                at.unread.add(shard)
        return wanted

    def may_be_cached(self, shard: str, now: float) -> bool:
        """Whether a listed shard that cannot be read may be one that this host has looked for in vain not long ago."""
        if self.at.before.get(shard) or shard not in self.at.unread:
            return False
        return self.still.of(f"{shard} unread", b"", now) < CONFIRM_S

    def index(self, *, full: bool) -> FanIndex:
        """The index as it has to be: of a full folder, read while it has not changed; else what is known of it."""
        if full:
            self.read(sorted(self.at.known), again=True)
        found = tuple(self.at.found[shard] for shard in sorted(self.at.known))
        return FanIndex(stamp=self.stamp if full else PART, shards=found, format=INDEX_FORMAT)

    def part(self, wanted_here: Wanted, made: int, now: float) -> Part:
        """What is committed of these shards of a list; those that are listed are read."""
        ids = wanted_here.ids.open()
        wanted = frozenset(ids)
        self.read(sorted(wanted & self.at.names))
        at, here = self.at, self.at.known
        known = [shard for shard in ids if shard in here]
        damaged = tuple(shard for shard in ids if shard in at.names and shard not in here)
        return Part(
            made=made,
            full=wanted <= at.names,
            ids=wanted_here.ids if known == ids else packed_ids(known),
            sums=Folded.of(at.found[shard] for shard in known),
            weight=sum(weight for shard, weight in zip(ids, wanted_here.weights) if shard in here),
            missing=tuple(sorted(wanted & self.lost.keys())),
            damaged=damaged,
            unseen=tuple(shard for shard in damaged if self.may_be_cached(shard, now)),
            wants_index=_wants_index(self, wanted),
            read=self.rest(),
        )


def packed_ids(ids: Sequence[str]) -> Packed[list[str]]:
    """Shards, in this order."""
    return Packed(encoded(ids), _ids.decode)


def _wants_index(fan: Fan, wanted: frozenset[str]) -> bool:
    """Whether the index lacks one of the shards that are wanted, all being there, or many; or has one that is gone."""
    indexed = frozenset(fan.indexed.open())
    if fan.gone or wanted <= indexed:
        return bool(fan.gone)
    return wanted <= fan.at.names or len(fan.at.known - indexed) >= ENOUGH
