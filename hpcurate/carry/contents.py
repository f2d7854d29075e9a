"""What of a run goes into its archive: which files, and what they are called there. Only reads."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

import msgspec

from hpcurate.carry.index import Header
from hpcurate.errors import StoreError
from hpcurate.masks import known
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.report.run_view import CommittedShard, RunView, StoredList
from hpcurate.runs.commands import verb
from hpcurate.runs.folder import Run, name_entries
from hpcurate.source.taken import list_names, newest
from hpcurate.start import NAME as BYTECODE
from hpcurate.store.freed import FilesState
from hpcurate.store.layout import StageFolder, base, version
from hpcurate.store.mode import GROUP, mode_of
from hpcurate.store.stage_store import StageStore
from hpcurate.units import plural

__all__ = ["Contents", "Named", "contents_of"]

OF_A_RUN = ("config.yaml", "overrides.json", "pipeline.json", "summary.json", "note.txt")
_PATH = re.compile(rb'(?<!\\)"((?:/|\\u)(?:[^"\\]|\\.)*)"')
Named = tuple[str, str]
"""What a file is called in the archive, and where it is."""


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What goes into an archive."""

    header: Header
    files: tuple[Named, ...]
    notes: tuple[str, ...]
    """What stays where it is, in words."""


def contents_of(view: RunView, files: str, hpcurate: str) -> Contents:
    """All of a run, with those of its files that are asked for. `hpcurate`: our version. Raises StoreError."""
    stored, notes, wanted = [*_whole(view), *_beside(view)], list[str](), _stages_with_files(view, files)
    found = list(_of_run(view.run, view.frozen.code))
    _refuse_secrets(found)
    found += _stage_files(view)
    for one in stored:
        found += _shards(one, one.store.folder, wanted, notes)
    if files != "none":
        found += _output(view, stored)
        notes += [f"output: {plural(links, 'symbolic link')}" for links in [_links(_output_of(view))] if links]
    opened = _open(view)
    header = Header(
        store=json.loads(view.run.filesystem.read(view.run.store.format_json))["format"],
        hpcurate=hpcurate,
        run=view.run.name,
        folder=view.run.path,
        files=files,
        open=opened,
        names=_names(view.run),
    )
    notes += [f"{name}: {_open_text(count)}" for name, count in opened.items()]
    return Contents(header=header, files=tuple(dict.fromkeys(found)), notes=tuple(notes))


def _open_text(count: int) -> str:
    return f"{plural(count, 'shard')} not committed" if count >= 0 else "not begun"


def _whole(view: RunView) -> list[StoredList]:
    """What is committed of the live set. Raises StoreError where something of it was lost."""
    stored = list(view.stored())
    lost = [(one.stage, shard) for one in stored for shard in (*one.missing, *one.damaged)]
    for stage, shard in lost[:1]:
        look = verb("verify", view.run.name, view.run.store.root, "--repair")
        more = f" and {len(lost) - 1} more" * (len(lost) > 1)
        raise StoreError(f"{stage}: shard {shard}{more} is no longer whole; type `{look}` and the run's command first")
    return stored


def _beside(view: RunView) -> list[StoredList]:
    """Of a trial's source, whose list is its own: the lists that made it one. Without them it would be none there."""
    store = view.store_of_source
    found = []
    for lines in (store.lists.read(name) or [] for name in _lists_beside(view)):
        shards = [CommittedShard("input", store, store.commits.read(line.id)) for line in lines]
        found.append(StoredList(stage="input", store=store, is_source=True, shards=shards, missing=(), damaged=()))
    return found


def _lists_beside(view: RunView) -> list[str]:
    source = view.frozen.pipeline.source
    every = [name for of in source.inputs or ("",) for name in list_names(view.store_of_source, of)]
    own, prefixes = set(view.frozen.source_lists), source.inputs or ("",)
    is_trial = any(name not in newest([name], of) for name in own for of in prefixes if name.startswith(of))
    return [name for name in every if name not in own] if is_trial else []


def _open(view: RunView) -> dict[str, int]:
    """Stage → shards that are not committed; -1 where it is not known which it has."""
    found = {}
    for stage in view.planned:
        listed = bool(view.list_names(stage))
        left = len(view.lines(stage)) - len(view.committed(stage)) if listed else -1
        if left:
            found[stage.name] = left
    return found


def _names(run: Run) -> tuple[str, ...]:
    """What a private store calls the run's configuration; in a group's that depends on the user."""
    if mode_of(run.store.root) == GROUP:
        return ()
    return tuple(os.path.basename(path) for path in name_entries(run.store, run.name))


# -- the run's own folder -----------------------------------------------------------------------------


def _of_run(run: Run, code: str) -> Iterator[Named]:
    there = set(run.filesystem.names(run.path))
    yield from ((f"run/{name}", os.path.join(run.path, name)) for name in OF_A_RUN if name in there)
    yield from _below(os.path.join(run.path, "retries"), "run/retries")
    yield from _below(os.path.join(run.path, "inputs"), "run/inputs")
    if not os.path.isdir(code):
        raise StoreError(f"{code}: the run's copy of its code is gone; type the run's command again, which makes it")
    for name, path in _below(code, f"run/{os.path.basename(code)}"):
        if os.path.basename(path) != BYTECODE:
            yield name, path


def _refuse_secrets(files: Iterable[Named]) -> None:
    """Nothing of configuration and code may hold the value of a secret that this user's environment has."""
    values = {os.fsencode(value): name for value, name in known().items()}
    for _, path in files:
        with open(path, "rb") as file:
            data = file.read() if values else b""
        for value, name in values.items():
            if value in data:
                raise StoreError(f"{path}: has the value of ${name}; take it out, and start the run again")


def _below(folder: str, name: str) -> Iterator[Named]:
    """The plain files of a folder, in order; those in hidden folders left out, which are somebody's in work."""
    for above, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for one in sorted(names):
            path = os.path.join(above, one)
            if stat.S_ISREG(os.lstat(path).st_mode):
                yield os.path.normpath(os.path.join(name, os.path.relpath(path, folder))), path


# -- stages -------------------------------------------------------------------------------------------


def _stage_files(view: RunView) -> Iterator[Named]:
    """Of each stage: what it is, and its lists; of the source: those of the run."""
    source = view.run.store.stage(view.frozen.pipeline.source.folder)
    yield from _lists(source, [*view.frozen.source_lists, *_lists_beside(view)])
    for stage in view.frozen.pipeline.stages:
        store = view.store(stage)
        yield f"stages/{stage.folder}/stage.json", store.folder.stage_json
        yield from _lists(store.folder, _versions(store, view.list_names(stage)))


def _lists(folder: StageFolder, names: Iterable[str]) -> Iterator[Named]:
    for name in names:
        yield f"stages/{os.path.basename(folder.path)}/lists/{name}.jsonl", folder.list_file(name)


def _versions(store: StageStore, names: Sequence[str]) -> Iterator[str]:
    """The lists, and the versions before them, which say what was cut how."""
    there = set(store.lists.names())
    for name in names:
        upto = version(name)
        yield from (one for one in store.lists.versions(base(name)) if one in there and version(one) <= upto)


def _stages_with_files(view: RunView, files: str) -> set[str]:
    """Folders of the stages whose files go along."""
    stages = view.frozen.pipeline.stages
    if files != "outputs":
        return {stage.folder for stage in stages} if files == "all" else set()
    read = {name for stage in stages for name in stage.after}
    last = [stage for stage in stages if stage.name not in read and not stage.publishes]
    named = [_named_by(view, stage, [one.folder for one in stages]) for stage in last]
    return {stage.folder for stage in last}.union(*named)


def _named_by(view: RunView, stage: PlannedStage, every: Iterable[str]) -> set[str]:
    """Folders of the stages whose files the rows of a stage name."""
    named = [shard.counts.names_files_of for shard in view.committed(stage)]
    return set(every) if None in named else {folder for one in named for folder in one or ()}


def _shards(stored: StoredList, folder: StageFolder, wanted: set[str], notes: list[str]) -> Iterator[Named]:
    """The files of each committed shard, as its `stats.json` has them. Raises StoreError for one that is gone."""
    name = os.path.basename(folder.path)
    freed = stored.store.freed.states(shard.id for shard in stored.shards)
    gone = {id for id, (_, state) in freed.items() if state is not FilesState.BACK}
    if gone and name in wanted:
        notes.append(f"{stored.stage}: files of {plural(len(gone), 'shard')} were freed before (keep=results)")
    links = 0
    for shard in stored.shards:
        take = name in wanted and shard.id not in gone
        for one, size in {**shard.stats().files, "stats.json": None}.items():
            if take or not one.startswith("files/"):
                yield f"stages/{name}/shards/{shard.id}/{one}", _checked(shard, one, size)
        links += _links(os.path.join(shard.path, "files")) if take else 0
    if links:
        notes.append(f"{stored.stage}: {plural(links, 'symbolic link')} that it left among its files")


def _links(folder: str) -> int:
    """How many symbolic links are below a folder."""
    below = ((above, one) for above, folders, names in os.walk(folder) for one in (*folders, *names))
    return sum(os.path.islink(os.path.join(above, one)) for above, one in below)


def _checked(shard: CommittedShard, name: str, size: int | None) -> str:
    path = os.path.join(shard.path, name)
    with suppress(FileNotFoundError):
        found = os.lstat(path).st_size
        if size in (None, found):
            return path
        raise StoreError(f"{path}: has {found} bytes, it had {size}; `hpcurate verify --repair` makes it again")
    raise StoreError(
        f"{path}: is gone; type `hpcurate verify --repair`, which makes it again, or export with --files none"
    )


# -- what it published --------------------------------------------------------------------------------


def _output_of(view: RunView) -> str:
    """Where it is: a relative one is in the folder where the command was typed."""
    return os.path.normpath(os.path.join(view.frozen.command.folder, view.frozen.output))


def _output(view: RunView, stored: Sequence[StoredList]) -> Iterator[Named]:
    """The files of its output; where that is the folder of the input, none of those."""
    root = _output_of(view)
    if os.path.isfile(root):
        yield f"output/{os.path.basename(root)}", root
        return
    inputs = {path for one in stored if one.is_source for path in _paths(one, root)} if root != view.run.output else ()
    yield from ((name, path) for name, path in _below(root, "output") if path not in inputs)


def _paths(source: StoredList, root: str) -> Iterator[str]:
    """Paths below a folder that the rows of a source name."""
    for shard in source.shards:
        for found in _PATH.findall((shard.path / "tasks.jsonl").read_bytes()):
            path = json.loads(b'"' + found + b'"')
            if path.startswith(f"{root}/"):
                yield path
