"""What is committed of the stages, as a look finds it: names from listings, the rest from an index per fan-out folder.

A look lists a folder once, and one whose shards are all there only now and then. A shard that was committed and is not
listed any more is believed to be gone only after a second listing: a directory may be stale. Only reads.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import msgspec

from hpcurate.runs.beats import Stillness
from hpcurate.runs.lists_seen import LiveList
from hpcurate.store.commits import INDEX_FORMAT, PART, Commits, FanIndex
from hpcurate.store.layout import fan_of
from hpcurate.store.stage_store import StageStore
from hpcurate.store.stats import Committed
from hpcurate.system.clock import Clock

CONFIRM_S = 60.0
"""So long after a listing that lacks a committed shard another one has to lack it, too, before it is done again; and so
often is a folder listed again in which every shard was there."""

ENOUGH = 100
"""So many shards of a folder that is not full have to be without an index before it is written again."""


class SeenList(msgspec.Struct, frozen=True):
    """What is committed of one list."""

    done: list[Committed]
    """In the order of the list."""
    missing: tuple[str, ...]
    """Shards that were committed before and are not listed, until that is sure."""
    damaged: tuple[str, ...]
    """Shards that are listed and cannot be read."""
    unseen: tuple[str, ...] = ()
    """Those of them of which that may be a cache: this host has looked for them before they were committed."""
    unindexed: tuple[str, ...] = ()
    """Fan-out folders of which an index is to be written."""


class _Fan(msgspec.Struct):
    """What is known of one fan-out folder."""

    commits: Commits
    name: str
    known: dict[str, tuple[int, Committed]]
    """Shard → what was read of it, and the folder's stamp before it was read."""
    indexed: frozenset[str]
    """Shards that the index has as they are."""
    before: dict[str, str]
    """Shards that were committed at some time → nonce; empty where it was not read."""
    still: Stillness
    """For how long each of these is not listed, or listed and not found."""
    lost: dict[str, float] = msgspec.field(default_factory=dict)
    """Those of them that are not listed → for how many seconds."""
    names: frozenset[str] = frozenset()
    stamp: int = -1
    listed: float = float("-inf")
    look: int = -1
    changed: int = 0
    """Listing, of all of the process, in which the names last changed."""
    unread: set[str] = msgspec.field(default_factory=set)
    """Shards that were listed and not found."""
    gone: dict[str, str] = msgspec.field(default_factory=dict)
    """Shards that are gone for sure, and that nobody has written down yet → nonce."""

    @classmethod
    def open(cls, commits: Commits, name: str, clock: Clock) -> _Fan:
        """With what the index has."""
        index = commits.read_index(name) or FanIndex(stamp=-1, shards=())
        known = {shard.shard: (index.stamp, shard) for shard in index.shards if index.whole}
        before = {shard.shard: shard.nonce for shard in index.shards}
        return cls(commits, name, known, indexed=frozenset(known), before=before, still=Stillness(clock))

    def list(self, now: float, look: int, number: int) -> None:
        """List the folder: the listing of that number."""
        first, names, self.look, self.listed = self.look < 0, self.names, look, now
        self.stamp, self.names = self.commits.listing(self.name)
        if first or names != self.names:
            self.changed = number
        self.before = {**dict.fromkeys(self.names, ""), **self.before}
        for shard in self.lost.keys() & self.names:
            self.still.forget(shard)
        self.lost = {shard: self.still.of(shard, b"lost", now) for shard in sorted(self.before.keys() - self.names)}
        for shard in [shard for shard, lost_s in self.lost.items() if lost_s >= CONFIRM_S]:
            self._forget(shard)
            self.changed = number
        for shard in self.lost:
            self.known.pop(shard, None)

    def _forget(self, shard: str) -> None:
        del self.lost[shard]
        self.still.forget(shard)
        self.known.pop(shard, None)
        self.gone[shard] = self.before.pop(shard)

    def read_again(self, number: int) -> None:
        """Every shard is there. What was read before the folder changed may be of an attempt that was replaced since:
        purged, and done again by another call, while this one did not look.
        """
        before = {shard: self.known[shard] for shard in sorted(self.names & self.known.keys())}
        for shard in self.read(before, again=True):
            self.indexed = frozenset()  # the index has another stamp
            now = self.known.get(shard)
            if now is None:  # purged, and a stale listing has it yet
                self.known[shard] = before[shard]
            elif now[1].nonce != before[shard][1].nonce:
                self.changed = number

    def read(self, shards: Iterable[str], *, again: bool = False) -> tuple[str, ...]:
        """Those of these listed shards that had to be read; `again`: also if it was before the folder last changed.

        They are known now, but for the damaged ones.
        """
        stamps = {shard: self.known[shard][0] if shard in self.known else None for shard in shards}
        unread = (shard for shard, stamp in stamps.items() if stamp is None or (again and stamp != self.stamp))
        wanted = tuple(unread)
        for shard, found in zip(wanted, self.commits.read_many(wanted), strict=True):
            if isinstance(found, Committed):
                self.known[shard] = self.stamp, found
                self.before[shard] = found.nonce
                continue
            self.known.pop(shard, None)
            if isinstance(found, OSError):
                self.unread.add(shard)
        return wanted

    def may_be_cached(self, shard: str, now: float) -> bool:
        """Whether a listed shard that cannot be read may be one that this host has looked for in vain not long ago."""
        if self.before.get(shard) or shard not in self.unread:
            return False
        return self.still.of(f"{shard} unread", b"", now) < CONFIRM_S

    def index(self, *, full: bool) -> FanIndex:
        """The index as it has to be: of a full folder, read while it has not changed; else what is known of it."""
        if full:
            self.read(sorted(self.names & self.known.keys()), again=True)
        found = tuple(self.known[shard][1] for shard in sorted(self.names & self.known.keys()))
        return FanIndex(stamp=self.stamp if full else PART, shards=found, format=INDEX_FORMAT)


class CommitsSeen:
    """What is committed of the lists of all stages."""

    def __init__(self, clock: Clock, store: Callable[[str], StageStore]) -> None:
        self._clock, self._store = clock, store
        self._look = self._listings = 0
        self._fans: dict[tuple[str, str], _Fan] = {}
        self._shards: dict[tuple[str, str], dict[str, frozenset[str]]] = {}
        """(stage folder, list) → its shards by fan-out folder."""
        self._seen: dict[tuple[str, str], tuple[int, SeenList]] = {}

    def next_look(self) -> None:
        """From here on folders are listed again."""
        self._look += 1

    def of(self, folder: str, found: LiveList) -> SeenList:
        """What is committed of a list; the same object while nothing of it changes and all of it can be read."""
        with _nothing_collected():
            return self._of(folder, found)

    def _of(self, folder: str, found: LiveList) -> SeenList:
        shards = self._by_fan(folder, found)
        fans = {name: self._fan(folder, name, wanted) for name, wanted in shards.items()}
        changed = max((fan.changed for fan in fans.values()), default=0)
        made, seen = self._seen.get((folder, found.name), (-1, None))
        if seen is None or seen.damaged or made < changed:  # what could not be read may be read now
            seen = _seen(found, shards, fans, self._clock.monotonic())
        unindexed = tuple(name for name, fan in fans.items() if _wants_index(fan, shards[name]))
        seen = seen if seen.unindexed == unindexed else msgspec.structs.replace(seen, unindexed=unindexed)
        self._seen[folder, found.name] = (self._listings, seen)
        return seen

    def index_of(self, folder: str, name: str) -> FanIndex:
        """The index of a fan-out folder as it has to be written."""
        fan = self._fans[folder, name]
        lists = (shards[name] for (stage, _), shards in self._shards.items() if stage == folder and name in shards)
        return fan.index(full=any(wanted <= fan.names for wanted in lists))

    def gone(self, folder: str, name: str) -> dict[str, str]:
        """Shards of a fan-out folder whose committed result is gone for sure → nonce of the attempt that made it."""
        return self._fans[folder, name].gone

    def index_written(self, folder: str, name: str) -> None:
        """It stands, or cannot be written: it is not asked for again."""
        fan = self._fans[folder, name]
        fan.indexed, fan.gone = fan.names & fan.known.keys(), {}

    def _by_fan(self, folder: str, found: LiveList) -> Mapping[str, frozenset[str]]:
        if (folder, found.name) not in self._shards:
            shards: dict[str, list[str]] = {}
            for line in found.lines:
                shards.setdefault(fan_of(line.id), []).append(line.id)
            self._shards[folder, found.name] = {name: frozenset(ids) for name, ids in shards.items()}
        return self._shards[folder, found.name]

    def _fan(self, folder: str, name: str, wanted: frozenset[str]) -> _Fan:
        if (folder, name) not in self._fans:
            self._fans[folder, name] = _Fan.open(self._store(folder).commits, name, self._clock)
        fan, now = self._fans[folder, name], self._clock.monotonic()
        if fan.look != self._look and (not wanted <= fan.names or now - fan.listed >= CONFIRM_S):
            self._listings += 1
            fan.list(now, self._look, self._listings)
            if wanted <= fan.names:
                fan.read_again(self._listings)
        return fan


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Of 100 000 shards read none is garbage; to look for that takes twice as long as to decode them."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _seen(found: LiveList, shards: Mapping[str, frozenset[str]], fans: Mapping[str, _Fan], now: float) -> SeenList:
    listed = {shard: fans[name] for name, ids in shards.items() for shard in ids & fans[name].names}
    for name in shards:
        fans[name].read(sorted(shards[name] & fans[name].names))
    known = {shard: of[1] for name in shards for shard, of in fans[name].known.items()}
    ids = [line.id for line in found.lines if line.id in listed]
    damaged = tuple(shard for shard in ids if shard not in known)
    return SeenList(
        done=[known[shard] for shard in ids if shard in known],
        missing=tuple(sorted(shard for name, ids in shards.items() for shard in ids & fans[name].lost.keys())),
        damaged=damaged,
        unseen=tuple(shard for shard in damaged if listed[shard].may_be_cached(shard, now)),
    )


def _wants_index(fan: _Fan, wanted: frozenset[str]) -> bool:
    """Whether the index lacks one of the shards that are wanted, all being there, or many; or has one that is gone."""
    if fan.gone or wanted <= fan.indexed:
        return bool(fan.gone)
    return wanted <= fan.names or len(fan.known.keys() & fan.names - fan.indexed) >= ENOUGH
