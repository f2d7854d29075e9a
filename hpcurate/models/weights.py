"""Weights in the store: `<store>/weights/<repo>@<commit>/`, complete or not there, and what a branch is pinned to."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import attrs

from hpcurate.errors import ConfigError
from hpcurate.models.registry import COMMIT, ModelEntry, Registry
from hpcurate.planning.build import WeightsOf
from hpcurate.planning.pipeline import WeightsRef
from hpcurate.store.filesystem import POSIX
from hpcurate.store.layout import Store
from hpcurate.store.manifest import MANIFEST, CopyFault, FileEntry, read_manifest, sha256_of


@attrs.define(frozen=True)
class Weights:
    """Complete weights in the store."""

    entry: ModelEntry
    commit: str
    path: str

    @property
    def identity(self) -> str:
        """Part of the fingerprint of every stage that reads them."""
        return f"{self.entry.repo}@{self.commit}"

    @property
    def ref(self) -> WeightsRef:
        """As a stage's plan refers to them."""
        return WeightsRef(self.entry.names, self.identity, os.path.basename(self.path), self.entry.env)


class WeightStore:
    """The weights of one store."""

    def __init__(self, root: str) -> None:
        self._store = Store.at(root)
        self._filesystem = POSIX

    @property
    def folder(self) -> str:
        """Where they lie."""
        return self._store.weights

    def path(self, repo: str, commit: str) -> str:
        """Folder of one model."""
        return os.path.join(self.folder, f"{repo.replace('/', '--')}@{commit}")

    def commit_of(self, entry: ModelEntry) -> str | None:
        """The commit that the entry means here: its own, or the one its branch was pinned to; None before that."""
        if COMMIT.fullmatch(entry.revision):
            return entry.revision
        with suppress(OSError):
            return self._filesystem.read(self._pin(entry)).decode().strip()
        return None

    def pin(self, entry: ModelEntry, commit: str) -> None:
        """Let the branch or tag mean this commit from now on, in this store."""
        self._filesystem.make_folders(self.folder)
        self._filesystem.replace(self._pin(entry), f"{commit}\n".encode())

    def _pin(self, entry: ModelEntry) -> str:
        branch = f"{entry.repo}@{entry.revision}".replace("/", "--")
        return os.path.join(self.folder, f"{branch}.pin")

    def find(self, entry: ModelEntry) -> Weights | None:
        """The entry's weights if they are complete here."""
        commit = self.commit_of(entry)
        if commit is None:
            return None
        path = self.path(entry.repo, commit)
        return Weights(entry, commit, path) if MANIFEST in self._filesystem.names(path) else None

    def need(self, registry: Registry, name: str) -> Weights:
        """The weights a stage asks for. Raises ConfigError with the command that fetches them."""
        entry = registry[name]
        found = self.find(entry)
        if found is None:
            size = f", {entry.size}" if entry.size else ""
            raise ConfigError(
                f"model {entry.name}: its weights ({entry.repo}@{entry.revision}{size}) are not in the store; "
                f"type `hpcurate models fetch {entry.name} --store {self._store.root}`"
            )
        return found


def weights_of(root: str, registry: Registry) -> WeightsOf:
    """How a pipeline that runs on the store at `root` finds its weights."""
    store = WeightStore(root)
    return lambda name: store.need(registry, name).ref


def files_of(folder: str) -> tuple[FileEntry, ...]:
    """The files that complete weights have. Raises ConfigError if they do not say."""
    try:
        return read_manifest(folder)
    except CopyFault as error:
        raise ConfigError(f"{error}; remove the model and fetch it again") from None


def faults(folder: str, *, digests: bool = True) -> list[str]:
    """What is wrong with a folder's files: missing, of another size, of another digest."""
    found = []
    for file in files_of(folder):
        path = Path(folder, file.path)
        if not path.is_file():
            found.append(f"{file.path}: missing")
        elif path.stat().st_size != file.size:
            found.append(f"{file.path}: {path.stat().st_size} bytes, expected {file.size}")
        elif digests and sha256_of(path) != file.sha256:
            found.append(f"{file.path}: its SHA-256 differs")
    return found
