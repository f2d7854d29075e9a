"""From the small store of an archive into a store: shards, then the lists that make them live. Nothing is replaced.

Killed anywhere, the same again goes on: what is there already is left as it is.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial

from hpcurate.carry.unpacked import OUTPUT, files_below, shards_of
from hpcurate.errors import StoreError
from hpcurate.store.access import make_folders
from hpcurate.store.filesystem import name_once
from hpcurate.store.layout import StageFolder, Store, fan_of
from hpcurate.store.stage_store import StageStore
from hpcurate.store.uses import FREE, Use
from hpcurate.system.failpoints import failpoint
from hpcurate.system.processes import nonce
from hpcurate.world import World

__all__ = ["check_free", "check_output", "lacks_files", "take_output", "take_stage"]

AT_ONCE = 500
"""Shards that are flushed together."""


def check_free(world: World, small: Store, store: Store, folder: str) -> int:
    """How many shards of a stage are not in the store yet. Raises StoreError for one that is there otherwise."""
    ours, theirs = world.stage(small, folder), world.stage(store, folder)
    shards = list(shards_of(ours.folder))
    standing = _standing(theirs, shards)
    for shard in standing:
        if not _same_shard(ours, theirs, shard):
            raise StoreError(
                f"{theirs.folder.shard(shard)}: was made in this store, by another attempt than that of the archive; "
                "import into another store"
            )
    for name in ours.lists.names():
        if theirs.lists.is_there(name) and ours.lists.read(name) != theirs.lists.read(name):
            raise StoreError(f"{theirs.folder.list_file(name)}: is another list here; import into another store")
    return len(shards) - len(standing)


def _standing(theirs: StageStore, shards: Iterable[str]) -> list[str]:
    """Those of the shards that the store has, in order; one listing a fan-out folder."""
    found = [(shard, fan_of(shard)) for shard in shards]
    there = {fan: theirs.commits.listing(fan)[1] for fan in {fan for _, fan in found}}
    return [shard for shard, fan in found if shard in there[fan]]


def _same_shard(ours: StageStore, theirs: StageStore, shard: str) -> bool:
    """The same attempt, with the same rows: those of a source may name other paths."""
    read = ours.filesystem.read
    rows = [os.path.join(one.folder.shard(shard), "tasks.jsonl") for one in (ours, theirs)]
    return ours.commits.read(shard).nonce == theirs.commits.read(shard).nonce and read(rows[0]) == read(rows[1])


def lacks_files(folder: StageFolder, shard: str, stats: bytes) -> bool:
    """Whether a shard of an archive had files, which did not come along."""
    had = any(name.startswith("files/") for name in json.loads(stats)["files"])
    return had and not os.path.isdir(os.path.join(folder.shard(shard), "files"))


def take_stage(world: World, small: Store, store: Store, folder: str, run: str) -> None:
    """A stage's shards and lists. `run` wants it from here on."""
    ours, theirs = world.stage(small, folder), world.stage(store, folder)
    world.filesystem.make_folders(theirs.folder.wanted)
    world.filesystem.create(os.path.join(theirs.folder.wanted, run), b"")
    with suppress(FileNotFoundError):  # a source has none
        world.filesystem.create(theirs.folder.stage_json, world.filesystem.read(ours.folder.stage_json))
    shards = list(shards_of(ours.folder))
    standing = set(_standing(theirs, shards))
    left = (shard for shard in shards if shard not in standing)
    while some := list(itertools.islice(left, AT_ONCE)):
        _take_shards(world, ours, theirs, some)
    world.filesystem.make_folders(theirs.folder.lists)
    for name in ours.lists.names():
        failpoint("import.list")
        world.filesystem.create(theirs.folder.list_file(name), world.filesystem.read(ours.folder.list_file(name)))


def _take_shards(world: World, ours: StageStore, theirs: StageStore, shards: Sequence[str]) -> None:
    filesystem = world.filesystem
    stats = {shard: filesystem.read(os.path.join(ours.folder.shard(shard), "stats.json")) for shard in shards}
    _mark_freed(theirs, [shard for shard in shards if lacks_files(ours.folder, shard, stats[shard])])
    filesystem.seal({ours.folder.shard(one): partial(_as_it_was, stats[one]) for one in shards}, "stats.json")
    for fan in sorted({fan_of(shard) for shard in shards}):
        filesystem.make_folders(theirs.folder.shards(fan))
    failpoint("import.shards")
    last = {fan_of(shard): shard for shard in shards}.values()
    for shard in shards:
        with suppress(FileExistsError):  # another import's, of the same archive
            filesystem.rename(ours.folder.shard(shard), theirs.folder.shard(shard), flush=shard in last)


def _as_it_was(stats: bytes, sizes: dict[str, int]) -> bytes:
    return stats


def _mark_freed(theirs: StageStore, shards: Sequence[str]) -> None:
    """Files that did not come along are as those that were freed: made again where somebody needs them.

    The decision frees nothing else: it names no list, and is carried out as soon as it is there.
    """
    if not shards:
        return
    number = theirs.uses.add(lambda entries: Use(use=FREE))
    theirs.uses.mark_done(number)
    for shard in shards:
        target = theirs.folder.freed_files(shard, number)
        theirs.filesystem.make_folders(target)
        theirs.filesystem.create(os.path.join(target, "freed"), b"")


# -- what it published --------------------------------------------------------------------------------


def _output_files(small: Store, output: str, paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(where it is, where it goes); an output that is one file has its own name."""
    names = list(paths)
    for name in names:
        one = names == [name] and os.path.basename(output) == name
        yield os.path.join(small.root, OUTPUT, name), output if one else os.path.join(output, name)


def check_output(small: Store, output: str) -> None:
    """Raise StoreError where another file is in the place of one of the output."""
    for ours, target in _output_files(small, output, files_below(os.path.join(small.root, OUTPUT))):
        if os.path.lexists(target) and not _same_content(ours, target):
            raise StoreError(f"{target}: is there already, and is not that of the archive; move it, or --path OLD=NEW")


def take_output(small: Store, output: str) -> int:
    """Put it in its place; how many files."""
    count = 0
    for ours, target in _output_files(small, output, files_below(os.path.join(small.root, OUTPUT))):
        count += 1
        if not os.path.lexists(target):
            failpoint("import.output")
            make_folders(os.path.dirname(target))
            _put(ours, target)
    return count


def _put(ours: str, target: str) -> None:
    """A link where possible, else a copy; whole or not at all."""
    import errno
    import shutil

    try:
        name_once(ours, target)
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    temporary = os.path.join(os.path.dirname(target), f".{os.path.basename(target)}.{nonce()}")
    try:
        shutil.copyfile(ours, temporary)
        os.replace(temporary, target)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


def _same_content(one: str, other: str) -> bool:
    import filecmp

    return os.path.isfile(other) and filecmp.cmp(one, other, shallow=False)
