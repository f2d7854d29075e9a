"""Weights in the store: `<store>/weights/<title>@<version>/`, complete or not there, and what a branch is pinned to."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from hpcurate.errors import ConfigError
from hpcurate.models.listing import list_files, stamp
from hpcurate.models.origin import Folder, Origin
from hpcurate.models.registry import ModelEntry, Registry
from hpcurate.planning.build import WeightsOf
from hpcurate.planning.missing import Need, NotInstalled
from hpcurate.planning.pipeline import WeightsRef
from hpcurate.store.filesystem import POSIX
from hpcurate.store.layout import Store
from hpcurate.store.manifest import MANIFEST, CopyFault, FileEntry, read_manifest, sha256_of


class Weights(msgspec.Struct, frozen=True):
    """Complete weights in the store."""

    entry: ModelEntry
    version: str
    path: str

    @property
    def identity(self) -> str:
        """Part of the fingerprint of every stage that reads them."""
        return f"{self.entry.origin.title}@{self.version}"

    @property
    def ref(self) -> WeightsRef:
        """As a stage's plan refers to them."""
        return WeightsRef(
            self.entry.names,
            self.identity,
            os.path.basename(self.path),
            self.entry.env,
            self.entry.trust_remote_code,
        )


class WeightStore:
    """The weights of one store."""

    def __init__(self, root: str) -> None:
        self._store = Store.at(root)
        self._filesystem = POSIX

    @property
    def root(self) -> str:
        """The store."""
        return self._store.root

    @property
    def folder(self) -> str:
        """Where they lie."""
        return self._store.weights

    def path(self, origin: Origin, version: str) -> str:
        """Folder of one model."""
        return self.beside(f"{origin.title}@{version}")

    def beside(self, name: str) -> str:
        """A name among the weights."""
        return os.path.join(self.folder, name.replace("/", "--"))

    def version_of(self, entry: ModelEntry) -> str | None:
        """The version that the entry means here: its own, or what its wish was pinned to; None before that."""
        return entry.origin.version or next(iter(self._pinned(entry)), None)

    def pin(self, entry: ModelEntry, version: str, stamp: str = "") -> None:
        """Let the branch, tag or folder mean this version from now on, in this store; `stamp` is of what it was."""
        self._filesystem.make_folders(self.folder)
        self._filesystem.replace(self._pin(entry), f"{version} {stamp}".strip().encode() + b"\n")

    def _pin(self, entry: ModelEntry) -> str:
        return self.beside(f"{entry.origin.wish}.pin")

    def _pinned(self, entry: ModelEntry) -> list[str]:
        with suppress(OSError):
            return self._filesystem.read(self._pin(entry)).decode().split()
        return []

    def find(self, entry: ModelEntry) -> Weights | None:
        """The entry's weights if they are complete here."""
        version = self.version_of(entry)
        if version is None:
            return None
        path = self.path(entry.origin, version)
        return Weights(entry, version, path) if MANIFEST in self._filesystem.names(path) else None

    def need(self, registry: Registry, name: str) -> Weights:
        """The weights a stage asks for. Raises ConfigError; NotInstalled with the command that fetches them."""
        entry = registry[name]
        found = self.find(entry)
        if found is None:
            size = f", {entry.size}" if entry.size else ""
            lack = f"model {entry.name}: its weights ({entry.origin.text}{size}) are not in the store"
            raise NotInstalled({lack: ()}, [Need("model", entry.name, self.command(entry), env=entry.env)])
        return found

    def check(self, weights: Weights) -> None:
        """Raise ConfigError if files were changed since they were fetched."""
        if wrong := faults(weights.path, unchanged=True):
            name, more = weights.entry.name, shlex.join(["--store", self._store.root])
            raise ConfigError(
                f"model {name}: its weights in the store are not those that were fetched: {'; '.join(wrong)}; type "
                f"`hpcurate models remove {name} {more}`, then `hpcurate models fetch {name} {more}`"
            )

    def command(self, entry: ModelEntry, *options: str) -> str:
        """What fetches the entry's weights."""
        return shlex.join(["hpcurate", "models", "fetch", entry.name, *options, "--store", self._store.root])

    def notes(self, entry: ModelEntry) -> list[str]:
        """What whoever uses the weights should know."""
        found = [f"model {entry.name}: untried: nobody has run a stage with these weights"] if entry.untried else []
        if isinstance(entry.origin, Folder) and self._has_changed(entry, entry.origin):
            found.append(
                f"model {entry.name}: {entry.path} has changed since it was copied, and the copy is used; to take it "
                f"again: {self.command(entry, '--update')}"
            )
        return found

    def _has_changed(self, entry: ModelEntry, origin: Folder) -> bool:
        """Whether the folder is another one now; one that cannot be seen from here has not changed."""
        try:
            return self._pinned(entry)[1:] != [stamp(list_files(origin.folder, origin.files))]
        except OSError:
            return False


def weights_of(root: str, registry: Registry, echo: Callable[[str], None] = lambda line: None) -> WeightsOf:
    """How a pipeline that runs on the store at `root` finds its weights. What is to be known of them is said once."""
    store = WeightStore(root)
    said: set[str] = set()

    def ref(name: str) -> WeightsRef:
        weights = store.need(registry, name)
        if weights.entry.name not in said:
            store.check(weights)
            for line in store.notes(weights.entry):
                echo(line)
        said.add(weights.entry.name)
        return weights.ref

    return ref


def version_of_content(files: Sequence[FileEntry]) -> str:
    """Of weights that nothing else identifies: the digest of their names and digests. Pure."""
    lines = "".join(f"{file.sha256} {file.path}\n" for file in sorted(files, key=lambda file: file.path))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def files_of(folder: str) -> tuple[FileEntry, ...]:
    """The files that complete weights have. Raises ConfigError if they do not say."""
    try:
        return read_manifest(folder)
    except CopyFault as error:
        raise ConfigError(f"{error}; remove the model and fetch it again") from None


def faults(folder: str, *, unchanged: bool = False) -> list[str]:
    """What is wrong with a folder's files: missing, of another size, of another digest.

    `unchanged`: digests are computed only of files that were written after their list was.
    """
    found = []
    listed = Path(folder, MANIFEST).stat().st_mtime_ns if unchanged else 0
    for file in files_of(folder):
        path = Path(folder, file.path)
        if not path.is_file():
            found.append(f"{file.path}: missing")
        elif path.stat().st_size != file.size:
            found.append(f"{file.path}: {path.stat().st_size} bytes, expected {file.size}")
        elif path.stat().st_mtime_ns >= listed and sha256_of(path) != file.sha256:
            found.append(f"{file.path}: its SHA-256 differs")
    return found
