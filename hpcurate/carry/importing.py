"""Taking the run of an archive into a store: everything is looked at first, and the run itself is written last."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from hpcurate.carry.coming import (
    MARK,
    Coming,
    Same,
    check_complete,
    check_output_is_named,
    check_room_for,
    check_source,
)
from hpcurate.carry.taking import check_free, check_output, lacks_files, take_output, take_stage
from hpcurate.carry.unpacked import RUN, files_below, shards_of, unpacked, with_new_paths
from hpcurate.errors import StoreError
from hpcurate.planning.aliases import Aliases
from hpcurate.runs.code import code_name, freeze_files
from hpcurate.runs.folder import Run, also_means, open_store, point_latest
from hpcurate.runs.start import freeze_run
from hpcurate.store.access import OWNER, private_files
from hpcurate.store.layout import Store
from hpcurate.store.mode import GROUP, mode_of
from hpcurate.system.failpoints import failpoint
from hpcurate.world import World

__all__ = ["Came", "take_in"]

Echo = Callable[[str], None]
OF_A_RUN = ("config.yaml", "overrides.json", "summary.json", "note.txt")


class Came(msgspec.Struct, frozen=True, kw_only=True):
    """What an import has done."""

    run: Run
    shards: int
    """That were not there before."""
    output: int
    """Files of its output."""
    lacking: tuple[str, ...]
    """Stages with shards whose files are not here."""
    before: bool = False
    """Whether all of it was there already."""


def take_in(coming: Coming, same: Same | None, echo: Echo) -> Came:
    """Bring it in. Without `same` nobody has looked whether its command is that run here. Raises UserError, OSError."""
    if check_room_for(coming):
        return Came(run=coming.run, shards=0, output=0, lacking=(), before=True)
    check_output_is_named(coming)
    is_new = not os.path.exists(coming.run.store.format_json)
    with private_files():
        store = open_store(coming.run.store.root, echo=echo)
        world = World().expecting(store)
        with unpacked(coming.archive, store) as small:
            source = small.stage(coming.frozen.pipeline.source.folder)
            with_new_paths(source, coming.carried.paths)
            shards = _check(world, coming, same, small, store, echo)
            lacking = tuple(_lacking(small, coming.folders))
            open_store(store.root, echo=_silent if is_new else echo, frees=bool(lacking))
            output = _take(world, coming, same, small, echo)
            return Came(run=coming.run, shards=shards, output=output, lacking=lacking)


def _silent(line: str) -> None:
    """Of a store that was made just now nobody needs to know which format it had a moment ago."""


def _check(world: World, coming: Coming, same: Same | None, small: Store, store: Store, echo: Echo) -> int:
    """How many shards the store does not have yet. Raises UserError where it cannot take the archive."""
    code = os.path.basename(coming.frozen.code)
    if code_name(sorted(_code_files(coming, small).items())) != code:
        raise StoreError(f"{coming.archive.path}: run/{code} is not the code of that name; nothing was imported")
    check_complete(coming, small)
    if same is not None:
        for line in check_source(same, small):
            echo(f"input: {line}")
    check_output(small, coming.output)
    return sum(check_free(world, small, store, folder) for folder in coming.folders)


def _lacking(small: Store, folders: list[str]) -> Iterator[str]:
    for name in folders:
        folder = small.stage(name)
        stats = ((one, Path(folder.shard(one), "stats.json").read_bytes()) for one in shards_of(folder))
        if any(lacks_files(folder, one, data) for one, data in stats):
            yield name.rpartition("-")[0]


def _take(world: World, coming: Coming, same: Same | None, small: Store, echo: Echo) -> int:
    """How many files its output has."""
    run = coming.run
    run.filesystem.make_folders(run.path, mode=OWNER)
    for folder in coming.folders:
        take_stage(world, small, run.store, folder, run.name)
    output = take_output(small, coming.output)
    _take_names(coming, same)
    failpoint("import.run")
    _take_run(world, coming, small, echo)
    return output


def _take_names(coming: Coming, same: Same | None) -> None:
    """What the store writes down so that the run's command finds it."""
    run, aliases = coming.run, Aliases(coming.run.store.root)
    for name, one in coming.carried.aliases().items():
        aliases.record(name, {**msgspec.to_builtins(one), "run": run.name, "differs": "came from another store"})
    if same is not None:
        same.epochs.record()
        also_means(run, same.identity)
    elif mode_of(run.store.root) != GROUP:
        names = os.path.join(run.store.runs, ".names")
        run.filesystem.make_folders(names)
        for name in coming.archive.index.header.names:
            run.filesystem.create(os.path.join(names, name), f"{run.name}\n".encode())


def _take_run(world: World, coming: Coming, small: Store, echo: Echo) -> None:
    """Its folder, `pipeline.json` last: from then on it is a run of this store."""
    run, kept = coming.run, coming.kept
    for name in OF_A_RUN:
        if name in kept.filesystem.names(kept.path):
            run.filesystem.replace(os.path.join(run.path, name), kept.filesystem.read(os.path.join(kept.path, name)))
    for one in kept.retry_log.read()[len(run.retry_log.read()) :]:
        run.retry_log.add(one)
    _take_inputs(run, os.path.join(small.root, RUN, "inputs"))
    header = coming.archive.index.header
    mark = {
        "sha256": coming.archive.index.digest,
        "archive": coming.archive.path,
        "paths": coming.carried.paths.pairs,
        **msgspec.to_builtins(header),
    }
    run.filesystem.replace(os.path.join(run.path, MARK), json.dumps(mark, indent=1).encode() + b"\n")
    frozen = coming.frozen
    command = msgspec.structs.replace(frozen.command, folder=os.getcwd(), words=coming.words)
    frozen = msgspec.structs.replace(
        frozen,
        pipeline=coming.carried.there(),
        code=freeze_files(_code_files(coming, small), run.path),
        output=coming.output,
        metrics="",
        command=command,
        retries={},  # they are in retries/, once
    )
    freeze_run(run, frozen, echo, world)
    point_latest(run)


def _code_files(coming: Coming, small: Store) -> dict[str, Path]:
    """Name → file, of the copy of its code."""
    folder = os.path.join(small.root, RUN, os.path.basename(coming.frozen.code))
    return {name: Path(folder, name) for name in files_below(folder)}


def _take_inputs(run: Run, folder: str) -> None:
    """Copies of input files, by their content."""
    for name in files_below(folder):
        target = os.path.join(run.path, "inputs", name)
        run.filesystem.make_folders(os.path.dirname(target))
        if run.filesystem.create(target, run.filesystem.read(os.path.join(folder, name))):
            os.chmod(target, 0o400)
