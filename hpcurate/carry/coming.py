"""A run that comes from an archive into a store: read, and compared with what its command would be here. Only reads."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
import msgspec
import yaml

from hpcurate.carry.archive import Checked, unpack
from hpcurate.carry.index import STAGE
from hpcurate.carry.paths import Paths
from hpcurate.carry.same import Carried, SameEpochs
from hpcurate.errors import ConfigError, StoreError
from hpcurate.planning.aliases import SOURCE, aliases_of
from hpcurate.planning.pipeline import Pipeline
from hpcurate.runs.commands import quoted, verb
from hpcurate.runs.folder import Frozen, Run, run_of
from hpcurate.runs.launcher import make_launcher
from hpcurate.runs.prepare import Request
from hpcurate.runs.preview import views_of
from hpcurate.runs.same_stages import differences
from hpcurate.source.compare import Edits
from hpcurate.source.intake import foresee_all
from hpcurate.source.scan import Scan, scans
from hpcurate.store.layout import Store
from hpcurate.units import plural
from hpcurate.world import World

__all__ = ["ANYWAY", "MARK", "Coming", "Same", "check_complete", "check_output_is_named", "check_room_for"]
__all__ += ["check_source", "opened", "same_run"]

MARK = "imported.json"
"""In the folder of a run: which archive it came from."""
ANYWAY = "to import it all the same, e.g. to look at it, add --anyway"
_INLINE = {"_target_": "launchers.inline.InlineLauncher"}


class Coming(msgspec.Struct, frozen=True, kw_only=True):
    """A run of an archive, on its way into a store."""

    archive: Checked
    run: Run
    """The run in the store."""
    kept: Run
    """What the archive has of its folder, for as long as this is open; its configuration has the new paths."""
    frozen: Frozen
    """As it was frozen where it comes from."""
    carried: Carried
    typed: Paths = Paths()
    """Relative paths of its input, as they were typed there, that are others here."""

    @property
    def words(self) -> tuple[str, ...]:
        """What is to be typed here."""
        words = self.carried.paths.words(self.frozen.command.words)
        return tuple(self.typed.words([word])[0] if word.startswith("input=") else word for word in words)

    @property
    def name(self) -> str:
        """Of the run, here and there."""
        return self.run.name

    @property
    def output(self) -> str:
        """Where its result is to be."""
        return self.carried.paths.of(self.frozen.output)

    @property
    def folders(self) -> list[str]:
        """Of the source and the stages, each after what it reads."""
        return [self.frozen.pipeline.source.folder, *(stage.folder for stage in self.frozen.pipeline.stages)]


class Same(msgspec.Struct, frozen=True, kw_only=True):
    """The run's command is that run here."""

    request: Request
    identity: str
    pipeline: Pipeline
    epochs: SameEpochs
    scanned: list[Scan]
    """The input as it is here."""


@contextmanager
def opened(archive: Checked, store: Store, paths: Paths) -> Iterator[Coming]:
    """The run of an archive. `paths`: those that are others here. Raises StoreError."""
    header = archive.index.header
    run = Run(store, header.run)
    paths = paths.also(header.folder, run.path)
    with tempfile.TemporaryDirectory(prefix="hpcurate-import-") as folder:
        kept = Run(Store(folder), header.run)
        unpack(archive, folder, {path: f"runs/{header.run}/{name}" for path, name in _of_its_folder(archive)})
        frozen = kept.frozen()
        _check_folders(frozen, archive)
        _check_words(kept, archive)
        typed = _write_config(kept, {"store": store.root}, paths, frozen.command.folder)
        carried = Carried(frozen.pipeline, paths)
        yield Coming(archive=archive, run=run, kept=kept, frozen=frozen, carried=carried, typed=typed)


def _of_its_folder(archive: Checked) -> Iterator[tuple[str, str]]:
    """Files of the run's own folder: (in the archive, there), without code and input files."""
    for entry in archive.index.entries:
        name = entry.path.removeprefix("run/")
        if name != entry.path and not name.startswith(("code-", "inputs/")):
            yield entry.path, name


def _check_words(kept: Run, archive: Checked) -> None:
    """What was typed is texts. Raises StoreError."""
    try:
        msgspec.json.decode(kept.filesystem.read(os.path.join(kept.path, "overrides.json")), type=list[str])
    except (FileNotFoundError, msgspec.DecodeError) as error:
        raise StoreError(f"{archive.path}: run/overrides.json: {error}; nothing was imported") from None


def _check_folders(frozen: Frozen, archive: Checked) -> None:
    """Names that become paths are those of stages, and of a source and its lists. Raises StoreError."""
    if not frozen.pipeline.stages:
        raise StoreError(f"{archive.path}: run/pipeline.json: has no stage; nothing was imported")
    names = [(SOURCE, frozen.pipeline.origin, frozen.pipeline.source.folder)]
    names += [(stage.name, stage.fingerprint, stage.folder) for stage in frozen.pipeline.stages]
    for name, fingerprint, folder in names:
        if not STAGE.fullmatch(folder) or folder != f"{name}-{fingerprint[:12]}":
            raise StoreError(
                f"{archive.path}: run/pipeline.json: {folder!a} is no folder of a stage; nothing was imported"
            )
    lists, there = [f"stages/{names[0][2]}/lists/{name}.jsonl" for name in frozen.source_lists], archive.index.by_path()
    if lacking := next((name for name in lists if name not in there), None):
        raise StoreError(
            f"{archive.path}: run/pipeline.json: names {lacking[:200]!a}, which is not in it; nothing was imported"
        )


def check_output_is_named(coming: Coming) -> None:
    """Raise StoreError where the archive would write into a folder that the user has not named.

    A relative one is in the folder where the user types; nothing hidden is.
    """
    has_some = any(entry.path.startswith("output/") for entry in coming.archive.index.entries)
    named = Paths(coming.carried.paths.pairs[:-1])  # the last is the run's own folder
    elsewhere = os.path.isabs(coming.output) or any(part.startswith(".") for part in coming.output.split("/"))
    if has_some and elsewhere and coming.output != coming.run.output and not named.below(coming.output):
        here = quoted(f"{coming.frozen.output}={coming.frozen.output}")
        raise StoreError(
            f"{coming.archive.path}: the run has published to {coming.frozen.output}; say where that is to be here, "
            f"--path {here} if it is the same place"
        )


def _write_config(kept: Run, values: Mapping[str, str], paths: Paths, folder: str) -> Paths:
    """Its configuration with the paths that are others here; those of its input that were relative to the folder where
    its command was typed. One that Python started has none.
    """
    path = os.path.join(kept.path, "config.yaml")
    text = kept.filesystem.read(path).decode("utf-8", "surrogateescape")
    plain = yaml.safe_load(text)
    if not plain:
        return Paths()
    typed = paths.typed_in(folder, _texts(plain.get("input")))
    relative = {key: typed.within(plain[key]) for key in ("input", "source") if key in plain}
    text = yaml.safe_dump({**paths.within({**plain, **relative}), **values}, sort_keys=False)
    kept.filesystem.replace(path, text.encode("utf-8", "surrogateescape"))
    return typed


def _texts(given: Any) -> list[str]:
    """Paths of an input: one, several in a list, or by their names. Pure."""
    values = given.values() if isinstance(given, dict) else given if isinstance(given, list) else [given]
    return [value for value in values if isinstance(value, str)]


# -- whether its command is that run here -------------------------------------------------------------


def same_run(coming: Coming, request: Request) -> Same:
    """The run's command, as it would be here. Raises StoreError naming what makes it another run."""
    before, store = coming.frozen.pipeline, coming.run.store
    epochs = SameEpochs(store.root, before)
    request = attrs.evolve(request, kept=coming.carried.kept, epochs=epochs)
    now = request.build(request.steps(request.output or coming.run.output))
    if now.source.folder == before.source.folder and now.source.inputs != before.source.inputs:
        raise StoreError(
            f"{coming.archive.path}: several inputs are known by their absolute paths, and at others they are other "
            "ones: --path cannot move them. Have them where they were, by a symbolic link each (ln -s NEW OLD), and "
            f"import with --path OLD=OLD, by which copies count as what they are copies of; {ANYWAY}"
        )
    for difference in differences("the archive", before, now):
        raise StoreError(
            f"{difference}; the same command would not find its results here. Use the code, the weights and the values "
            "that it had there (its code is in run/ of the archive), or name what is elsewhere here: --path OLD=NEW; "
            f"{ANYWAY}"
        )
    identity = request.identity()
    there = run_of(store, identity)
    if there is not None and there.name != coming.name:
        raise StoreError(
            f"{store.root}: the same command is the run {there.name} here; import into another store, or remove that "
            f"run first: {verb('rm', there.name, store.root)}"
        )
    return Same(request=request, identity=identity, pipeline=now, epochs=epochs, scanned=_scanned(request))


def _scanned(request: Request) -> list[Scan]:
    try:
        return scans(request.source, request.limit)
    except ConfigError as error:
        raise ConfigError(f"{error}; if it is elsewhere here, add --path OLD=NEW; {ANYWAY}") from None


def check_source(same: Same, small: Store) -> list[str]:
    """What of its items is not here as it was, in words. Raise where the input here has items that the archive's run
    does not have: the command would work on them.
    """
    folder, limit = same.pipeline.source.folder, same.request.limit
    found = foresee_all(World(), small, folder, same.scanned, limit, Edits())
    if found.new:
        known = f"{plural(len(found.vanished), 'item')} of the archive are not there, " if found.vanished else ""
        raise StoreError(
            f"the input here is not that of the archive: {known}{found.new} are new, and the same command would work "
            f"on them; {ANYWAY}"
        )
    return found.lines(Edits())[1:]


def check_complete(coming: Coming, small: Store) -> None:
    """Raise StoreError where a stage that was complete would not be so here."""
    frozen, opened_there = coming.frozen, coming.archive.index.header.open
    views = views_of(small, coming.carried.there(), make_launcher(_INLINE), frozen.source_lists, frozen.retries)
    for view in views:
        if not view.complete and view.name not in opened_there:
            raise StoreError(f"{coming.archive.path}: {view.name} is not complete in it, and it was; export it again")


# -- whether the store has room for it ----------------------------------------------------------------


def check_room_for(coming: Coming) -> bool:
    """Whether the store has this very archive already. Raises StoreError where it has something else in its place."""
    run, store = coming.run, coming.run.store
    names = set(run.filesystem.names(run.path))
    if "pipeline.json" in names and MARK not in names:
        raise StoreError(f"{run.path}: is a run of this store already; nothing was imported")
    wanted = coming.carried.aliases()
    standing = {os.path.basename(path): folder for path, folder in aliases_of(store)}
    for name, alias in wanted.items():
        if standing.get(name, alias.folder) != alias.folder:
            raise StoreError(f"{store.stages}/.aliases/{name}: stands for {standing[name]} here; import elsewhere")
        if os.path.isdir(store.stage(name).path):
            raise StoreError(f"{store.stage(name).path}: this store has done that itself; import into another store")
    if "pipeline.json" not in names:
        return False
    mark = json.loads(run.filesystem.read(os.path.join(run.path, MARK)))
    if mark["paths"] != [list(pair) for pair in coming.carried.paths.pairs]:
        raise StoreError(f"{run.path}: was imported with other paths ({_typed(mark['paths'])}); import elsewhere")
    return bool(mark["sha256"] == coming.archive.index.digest)


def _typed(pairs: Sequence[Sequence[str]]) -> str:
    """As `--path` takes them; the run's own folder is nobody's to name. Pure."""
    return " ".join(f"--path {quoted(f'{old}={new}')}" for old, new in pairs[:-1]) or "none given"
