"""Intake: what the source enumerates becomes committed shards and immutable lists.

A later scan adds a list with the new tasks alone. Items that changed or vanished are reported and keep their place, so
that nothing is silently mixed; if they are to be done again or left out, the next version of their list replaces the
shards that have them. With a limit the run's live set is exactly the first tasks: a numbered list where the full run
can reuse it, else a list `first<n>` of its own.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import attrs
import msgspec

from hpcurate.errors import StoreError
from hpcurate.source.base import hash64
from hpcurate.source.compare import KEEP, Compared, Edited, Edits, compare, only_new
from hpcurate.source.scan import Scan
from hpcurate.source.spool import Entry, Spool, separated, weights_of
from hpcurate.source.taken import SEEN, Taken, newest, numbered, of_input
from hpcurate.store.filesystem import Filesystem
from hpcurate.store.layout import StageFolder, Store, base, shard_id, version, version_name
from hpcurate.store.lists import ShardLine
from hpcurate.store.stage_store import StageStore
from hpcurate.store.stats import ShardStats
from hpcurate.units import plural
from hpcurate.world import World

SHARD_TASKS = 1000
"""Tasks in one shard of a source."""
AT_ONCE = 1000
"""Shards that are flushed together."""


@attrs.define(frozen=True, kw_only=True)
class Intake:
    """Result of a scan."""

    lists: tuple[str, ...]
    """Lists of the source that are the run's live set."""
    tasks: int
    """Tasks in these lists."""
    new: int
    changed: tuple[str, ...] = ()
    """Items that differ from what was taken in, as a person calls them."""
    vanished: tuple[str, ...] = ()
    """Items taken in that are no longer there."""
    excluded: tuple[str, ...] = ()
    """Items taken in that are left out from now on."""
    again: int = 0
    """Tasks of the shards that are replaced because of them."""
    edited: tuple[Edited, ...] = attrs.field(default=(), eq=False)
    """The changed items once more, with what they look like now."""
    retried: tuple[str, ...] = ()
    """Items that were changed and, as they are now, tried again: their results are no old ones."""

    def after_retries(self, tried: Mapping[str, str], edits: Edits) -> Intake:
        """The same for a run that has tried these items again: id → what their files looked like then. Pure."""
        retried = tuple(one.name for one in self.edited if one.now and tried.get(one.id) == one.now)
        if edits.changed == "redo" or not retried:
            return self
        changed = tuple(one.name for one in self.edited if one.name not in retried)
        return attrs.evolve(self, changed=changed, retried=retried)

    def lines(self, edits: Edits) -> list[str]:
        """What there is to say of it. Pure."""
        grown = f", {self.new} of them new" if 0 < self.new < self.tasks else ""
        changed = "old results stay; changed=redo does them again" if edits.changed == "keep" else "done again"
        vanished = "old results stay; vanished=drop leaves them out" if edits.vanished == "keep" else "left out"
        return [
            f"{plural(self.tasks, 'task')}{grown}",
            *_edited(self.changed, "changed since they were taken in", changed),
            *_edited(self.retried, "changed since they were taken in", "a retry has tried them as they are now"),
            *_edited(self.vanished, "no longer there", vanished),
            *_edited(self.excluded, "excluded that had been taken in", "left out, with what was made of it"),
            *[f"source shards of {plural(self.again, 'task')} are done again because of them"] * bool(self.again),
        ]

    def since(self, before: Collection[str]) -> list[str]:
        """What another call has done again or left out since these were the lists of the run. Pure."""
        held = dict(map(version, before))
        moved = [name for name in self.lists if held.get(base(name), version(name)[1]) != version(name)[1]]
        if self.again or not moved:
            return []
        return [f"another call took over edits (changed=redo, vanished=drop or exclude): now {', '.join(moved)}"]


def take_in_all(
    world: World, store: Store, folder: str, scans: Sequence[Scan], limit: int | None = None, edits: Edits = KEEP
) -> Intake:
    """`take_in` of each of several inputs."""
    listed = _listed(world.stage(store, folder))
    return _of_all(
        scans, limit, lambda scan, left: take_in(world, store, folder, scan, left, edits, listed.get(scan.lists, ()))
    )


def foresee_all(
    world: World, store: Store, folder: str, scans: Sequence[Scan], limit: int | None, edits: Edits
) -> Intake:
    """`foresee` of each of several inputs."""
    listed = _listed(world.stage(store, folder))
    return _of_all(
        scans, limit, lambda scan, left: foresee(world, store, folder, scan, left, edits, listed.get(scan.lists, ()))
    )


def _listed(store: StageStore) -> dict[str, list[str]]:
    """What the names of lists begin with → these lists: one listing, however many inputs there are."""
    found: dict[str, list[str]] = {}
    for name in store.lists.names():
        found.setdefault(of_input(name), []).append(name)
    return found


def _of_all(scans: Sequence[Scan], limit: int | None, take: Callable[[Scan, int | None], Intake]) -> Intake:
    """Each gets what those before it leave of the limit: items that are no longer there have their places, too."""
    found: list[Intake] = []
    for scan in scans:
        left = None if limit is None else limit - sum(one.tasks for one in found)
        if left is None or left > 0:
            found.append(take(scan, left))
    return _together(found)


def _together(several: Sequence[Intake]) -> Intake:
    """What there is to say of several inputs. Pure."""
    return Intake(
        lists=tuple(name for one in several for name in one.lists),
        tasks=sum(one.tasks for one in several),
        new=sum(one.new for one in several),
        changed=tuple(name for one in several for name in one.changed),
        vanished=tuple(name for one in several for name in one.vanished),
        excluded=tuple(name for one in several for name in one.excluded),
        again=sum(one.again for one in several),
        edited=tuple(item for one in several for item in one.edited),
    )


def take_in(
    world: World,
    store: Store,
    folder: str,
    scan: Scan,
    limit: int | None = None,
    edits: Edits = KEEP,
    listed: Collection[str] | None = None,
) -> Intake:
    """Write what is new in the scan as the next list of the source, and what is to be done again as the next version
    of its list. Safe against a second caller.

    With `limit` the scan holds the first so many tasks, and the live set is they. `listed`: lists that there were a
    moment ago, by a listing.
    """
    intake = _Intake(world, world.stage(store, folder), scan, limit, edits, listed)
    first = None
    while True:
        look = intake.look()
        first = first or look
        if look.replaced:
            intake.supersede(look)
        elif (done := intake.complete(look)) is not None:
            done = attrs.evolve(done, **first.found_edits())
            intake.remember(done)
            return done


def foresee(
    world: World,
    store: Store,
    folder: str,
    scan: Scan,
    limit: int | None,
    edits: Edits,
    listed: Collection[str] | None = None,
) -> Intake:
    """What `take_in` would find, with the lists that there are. Writes nothing to the store."""
    look = _Intake(world, world.stage(store, folder), scan, limit, edits, listed).look()
    new, found = look.found.new.count, look.found_edits()
    dropped = len(found["excluded"]) + (len(found["vanished"]) if edits.vanished == "drop" else 0)
    tasks = min(scan.count, limit or 0) if look.own_list else look.tasks - dropped + new
    return Intake(lists=look.lists, tasks=tasks, new=new, **found)


class _Look(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to do."""

    lists: tuple[str, ...]
    """Standing ones of the live set; of a trial that has a list of its own, all."""
    tasks: int
    found: Compared
    replaced: dict[str, int]
    """Shards that are to be replaced → their tasks."""
    own_list: bool = False
    """A trial of less than was taken in."""

    def found_edits(self) -> dict[str, Any]:
        changed = tuple(one.name for one in self.found.changed)
        vanished = tuple(one.name for one in self.found.vanished)
        again = sum(self.replaced.values())
        excluded = tuple(one.name for one in self.found.excluded)
        return {
            "changed": changed, "vanished": vanished, "excluded": excluded, "again": again,
            "edited": self.found.changed,
        }  # fmt: skip


class _Intake(msgspec.Struct):
    world: World
    store: StageStore
    scan: Scan
    limit: int | None
    edits: Edits
    listed: Collection[str] | None = None
    """Lists of the first look, if somebody has listed them just now."""
    written: set[str] = msgspec.field(default_factory=set)
    """Lists that are known to be there: a listing may be older."""

    @property
    def taken(self) -> Taken:
        return Taken(self.store, self.scan.task_type)

    # -- looking ------------------------------------------------------------------------------------

    def look(self) -> _Look:
        """Compare what was taken in with the scan."""
        listed, self.listed = self.store.lists.names() if self.listed is None else self.listed, None
        lists = newest({*listed, *self.written}, self.scan.lists)
        self._check_written(lists)
        if self.scan.base not in ((), lists):  # somebody else took in more meanwhile
            self.scan = self.scan.again()
        totals = [0, *itertools.accumulate(self.taken.count([name]) for name in lists)]
        if self.limit is None:
            return self._compared(lists, totals[-1])
        if self.limit in totals:
            return self._compared(lists[: totals.index(self.limit)], self.limit, most=0)
        if totals[-1] > self.limit:
            return msgspec.structs.replace(self._compared(lists, totals[-1], most=0, gone=False), own_list=True)
        return self._compared(lists, totals[-1], most=self.limit - totals[-1])

    def _check_written(self, lists: Sequence[str]) -> None:
        """What is in a list that is being written would be taken for new. Raises StoreError."""
        for name in lists:
            if self.scan.count and self.store.lists.is_begun(name):
                raise StoreError(
                    f"{self.store.folder.list_file(name)}: is empty: another call is writing it, or died while it did; "
                    "type the command again in a minute, and if that does not help, move it out of the store"
                )

    def _compared(self, lists: tuple[str, ...], tasks: int, most: int | None = None, gone: bool = True) -> _Look:
        if self.scan.base:
            return _Look(lists=lists, tasks=tasks, found=only_new(self.scan), replaced={})
        found = compare(self.taken, lists, self.scan, most=most, gone=gone)
        fallen = found.shards(self.edits)
        counts = {line.id: line.count for name in lists if fallen for line in self.taken.lines(name)}
        return _Look(lists=lists, tasks=tasks, found=found, replaced={shard: counts[shard] for shard in fallen})

    # -- what is done again -------------------------------------------------------------------------

    def supersede(self, look: _Look) -> None:
        """Write the next version of each list that has a shard to replace, unless somebody else has."""
        for name in look.lists:
            lines = self.taken.lines(name)
            again = [line for line in lines if line.id in look.replaced]
            if again:
                stem, number = version(name)
                made = self._replacements(name, again, look.found)
                standing = [made.get(line.id, line) for line in lines]
                self._write(version_name(stem, number + 1), [line for line in standing if line is not None])

    def _replacements(self, name: str, lines: Sequence[ShardLine], found: Compared) -> dict[str, ShardLine | None]:
        """Each of these shards → the one that replaces it: one of an earlier version where that was the same; None if
        nothing is left.
        """
        made: dict[str, ShardLine | None] = {}
        rows, counts = Spool(self.scan.task_type), dict[str, int]()
        for line in lines:
            entries = [e for entry in self.taken.entries(line) if (e := found.now(entry, self.scan, self.edits))]
            made[line.id] = self._of_before(name, line, entries)
            if entries and made[line.id] is None:
                counts[line.id] = len(entries)
                for entry in entries:
                    rows.add(entry.row, entry.seen)
        digest, left = rows.digest(), rows.lines()
        stem = f"{version(name)[0]}.{digest}"
        parts = ((shard_id(stem, _ordinal(n)), list(itertools.islice(left, count))) for n, count in counts.items())
        made.update(zip(counts, self._committed(parts, digest), strict=True))
        return made

    def _of_before(self, name: str, replaced: ShardLine, entries: Sequence[Entry]) -> ShardLine | None:
        """The shard of an earlier version with just these rows, if an edit was taken back."""
        stem, number = version(name)
        for earlier in range(number):
            for line in self.taken.lines(version_name(stem, earlier)):
                same_place = _ordinal(line.id) == _ordinal(replaced.id) and line.count == len(entries)
                if same_place and _marks(self.taken.entries(line)) == _marks(entries):
                    return line
        return None

    # -- what is new --------------------------------------------------------------------------------

    def complete(self, look: _Look) -> Intake | None:
        """The live set; None if somebody else wrote a list meanwhile."""
        if look.own_list:
            rows = self._first_rows(look)
            name = f"first{self.limit}.{rows.digest()}"
            self._publish(name, rows)
            return Intake(lists=(name,), tasks=rows.count, new=0)
        new = look.found.new
        if look.lists and not new.count:
            return Intake(lists=look.lists, tasks=look.tasks, new=0)
        name = _first_free(look.lists, self.scan.lists)
        if not self._publish(name, new):
            return None
        return Intake(lists=newest((*look.lists, name), self.scan.lists), tasks=look.tasks + new.count, new=new.count)

    def _first_rows(self, look: _Look) -> Spool:
        """Rows of a trial: as they were taken in, where they were."""
        differing, rows = look.found.differing, Spool(self.scan.task_type)
        shards = self.taken.shards(look.lists) if differing else ()
        before = {hash64(e.task.id): e for _, entries in shards for e in entries if hash64(e.task.id) in differing}
        for entry in itertools.islice(self.scan.entries(), self.limit):
            entry = before.get(hash64(entry.task.id), entry)
            rows.add(entry.row, entry.seen)
        return rows

    def remember(self, done: Intake) -> None:
        """What the files were that these lists have, so that the next call need not read them. Only a cache."""
        if self.scan.read is None or self.scan.lists or self.limit is not None or done.changed or done.vanished:
            return
        read = self.scan.read.of(done.lists, self.taken.name(done.lists))
        if read != self.taken.files_read():
            with suppress(OSError, UnicodeEncodeError):  # read-only; a path that is no text
                self.store.filesystem.replace(self.store.folder.files_read, read.to_json())

    # -- publishing ---------------------------------------------------------------------------------

    def _publish(self, name: str, rows: Spool) -> bool:
        """Commit the shards, then the list that makes them live. False if another scan's list stands.

        Shard names carry a digest of the rows, so that two scans that found the same write the same shards, and
        two that differ do not collide; the loser's are in no list and so in no live set.
        """
        digest, lines = rows.digest(), rows.lines()
        stem = name if name.endswith(digest) else f"{name}.{digest}"
        parts = iter(lambda: list(itertools.islice(lines, SHARD_TASKS)), [])
        named = ((shard_id(stem, n), part) for n, part in enumerate(parts))
        return self._write(name, self._committed(named, digest))

    def _write(self, name: str, lines: list[ShardLine]) -> bool:
        self.written.add(name)
        return self.store.lists.write(name, lines) == lines

    def _committed(self, parts: Iterator[tuple[str, list[bytes]]], digest: str) -> list[ShardLine]:
        """The lines of shards with these names and rows, as a spool has them: many are flushed at once."""
        found: list[ShardLine] = []
        while several := self._commit(itertools.islice(parts, AT_ONCE), digest):
            found += [ShardLine(stats.shard, stats.weight_out, stats.tasks_out, ()) for stats in several]
        return found

    def _commit(self, parts: Iterable[tuple[str, list[bytes]]], digest: str) -> list[ShardStats]:
        """Some of them. Where that fails nothing is left: the next call does not find it, and the store may be full."""
        attempts: dict[str, ShardStats] = {}
        try:
            for shard, lines in parts:
                directory = self.store.commits.begin(shard, 1, self.world.nonce(8))
                attempts[directory] = ShardStats(shard=shard, nonce=digest)
                self._write_rows(directory, lines, attempts[directory])
            if attempts:
                self.store.commits.commit_all(attempts)
        except BaseException:
            for directory in attempts:
                with suppress(OSError):
                    self.store.commits.discard(directory)
            raise
        return list(attempts.values())

    def _write_rows(self, directory: str, lines: Sequence[bytes], stats: ShardStats) -> None:
        """Of a shard, and what there is to say of them."""
        rows, seen = separated(self.scan.task_type, lines)
        for name, data in (("tasks.jsonl", rows), (SEEN, seen)):
            if data:
                self.world.filesystem.write_new(os.path.join(directory, name), data)
        stats.weight_out = round(sum(weights_of(self.scan.task_type, rows)), 6)
        stats.tasks_in = stats.tasks_out = stats.passed = len(lines)


def _edited(names: Sequence[str], what: str, outcome: str) -> list[str]:
    return [f"{len(names)} item{'s' * (len(names) > 1)} {what}, e.g. {name!a}; {outcome}" for name in names[:1]]


def _first_free(lists: Collection[str], of: str) -> str:
    """Name of the next list; a purge may have taken one that is not the last. Pure."""
    used = {base(name) for name in lists}
    return next(name for number in itertools.count(1) if (name := numbered(number, of)) not in used)


def _ordinal(shard: str) -> int:
    """Place of a shard in its list, which those that replace it keep."""
    return int(shard.rpartition("-")[2])


def _marks(entries: Iterable[Entry]) -> list[int]:
    return [entry.mark for entry in entries]


def write_stage_json(filesystem: Filesystem, folder: StageFolder, plain: dict[str, object]) -> dict[str, Any]:
    """Say in a stage's folder what it is, once; what was said first. What cannot be read is said again."""
    filesystem.make_folders(folder.path)
    data = json.dumps(plain, indent=1).encode() + b"\n"
    if "stage.json" not in filesystem.names(folder.path):
        filesystem.create(folder.stage_json, data)
    with suppress(ValueError):
        first: dict[str, Any] = json.loads(filesystem.read(folder.stage_json))
        return first
    filesystem.replace(folder.stage_json, data)
    return plain


__all__ = ["Edits", "Intake", "foresee", "foresee_all", "take_in", "take_in_all", "write_stage_json"]
