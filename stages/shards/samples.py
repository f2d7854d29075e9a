"""What a tar has of a clip or an image: its file, its fields, its vectors."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any

import attrs

from hpcurate import File
from hpcurate.errors import StageError
from stages.output_fields import Entry, entries, json_text
from stages.shards.order import key_of
from stages.shards.tar_file import JSON, Member, in_memory, of_file, sample_digest
from stages.vision.tasks import VisualTask

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NO_ARRAYS = b"PK\x05\x06" + bytes(18)
"""An npz without arrays: of what has no caption. Readers want the same extensions in each sample."""


@attrs.define(frozen=True)
class Vectors:
    """Names of the files with vectors that the samples of a file have, of pictures and of captions."""

    embeddings: tuple[str, ...] = ()
    text_vectors: tuple[str, ...] = ()


def vectors_of(tasks: Sequence[VisualTask]) -> Vectors:
    """Those that any of the tasks has."""
    return Vectors(
        tuple(sorted({file.name for task in tasks for file in task.embeddings})),
        tuple(sorted({file.name for task in tasks for file in task.text_vectors})),
    )


@attrs.define(frozen=True, slots=False)
class ClipSample:
    """A task with what is packed of it."""

    task: VisualTask
    vectors: Vectors
    files: tuple[str, ...] = ()
    """Fields whose files are packed beside the clip."""

    @cached_property
    def key(self) -> str:
        """What it is called."""
        return key_of(self.task.id)

    def fields(self) -> bytes:
        """Its public fields as JSON; without the paths of published files, as it is one itself."""
        kind: Any = type(self.task)  # for mypy: a task has no hash, its class has one
        found = {one.name: one.value(self.task, 0) for one in _public(kind)}
        return json_text(found, separators=(",", ":")).encode()

    def digest(self) -> str:
        """Of its fields and its members' names, as `read_tar` has it. Opens no file."""
        return sample_digest(hashlib.sha256(self.fields()).hexdigest(), self.extensions())

    def extensions(self) -> list[str]:
        """Those of its members, in order."""
        return [
            _suffix(media(self.task)),
            *(f"{extension(name)}.{_suffix(self._file(name))}" for name in self.files),
            JSON,
            *(f"{extension(name)}.npy" for name in self.vectors.embeddings),
            *(f"{extension(name)}.npz" for name in self.vectors.text_vectors),
        ]

    def members(self) -> list[Member]:
        """Its files: the clip or the image, others that were asked for, its fields, and a vector for each model."""
        makers: list[Callable[[str], Member]] = [
            lambda ending: of_file(ending, os.fspath(media(self.task))),
            *(partial(self._further, name) for name in self.files),
            lambda ending: in_memory(ending, self.fields()),
            *(partial(self._embedding, name) for name in self.vectors.embeddings),
            *(partial(self._text_vectors, name) for name in self.vectors.text_vectors),
        ]
        return [make(ending) for make, ending in zip(makers, self.extensions(), strict=True)]

    def _file(self, name: str) -> File:
        file = getattr(self.task, name)
        if not isinstance(file, File):
            raise StageError(f"{self.task.id} has no file in {name}: every sample of a file has the same members")
        return file

    def _further(self, name: str, ending: str) -> Member:
        return of_file(ending, os.fspath(self._file(name)))

    def _embedding(self, name: str, ending: str) -> Member:
        file = next((one for one in self.task.embeddings if one.name == name), None)
        return in_memory(ending, npy(None if file is None else vector(os.fspath(file), self.task.id)))

    def _text_vectors(self, name: str, ending: str) -> Member:
        file = next((one for one in self.task.text_vectors if one.name == name), None)
        return in_memory(ending, NO_ARRAYS) if file is None else of_file(ending, os.fspath(file))


@lru_cache
def _public(kind: Any) -> list[Entry]:
    return [entry for entry in entries(kind, "json") if entry.published is None]


def media(task: VisualTask) -> File | str:
    """The clip's file, or the path of the image. Raises StageError for a clip that has none."""
    if not hasattr(task, "clip"):
        return task.path
    clip: File | None = task.clip
    if clip is None:
        raise StageError(f"clip {task.id} has no file: put Cut before WebDataset")
    return clip


def _suffix(file: File | str) -> str:
    """Of its name, as the end of an extension."""
    return os.path.splitext(file if isinstance(file, str) else file.name)[1].lstrip(".").lower() or "bin"


def extension(name: str) -> str:
    """A model or a field as the first part of an extension: `qwen2.5.npz` → `qwen2_5`."""
    return re.sub(r"[^a-z0-9_-]", "_", os.path.splitext(name)[0].lower())


def vector(path: str, sample: str) -> NDArray[np.float32]:
    """The sample's row of a table of vectors (`stages.vision.vectors`), float32."""
    ids, matrix = _table(path)
    if sample not in ids:
        raise StageError(f"{path} has no vector of {sample}")
    row: NDArray[np.float32] = matrix[ids[sample]]
    return row


@lru_cache(maxsize=128)  # a table is that of a batch, 100 kB or so
def _table(path: str) -> tuple[dict[str, int], Any]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        table = file.read(["id", "embedding"], use_threads=False)
    flat = table["embedding"].combine_chunks().flatten().to_numpy()
    ids = {one: number for number, one in enumerate(table["id"].to_pylist())}
    return ids, flat.reshape(len(ids), -1)


def npy(found: NDArray[Any] | None) -> bytes:
    """NumPy's file of an array; an empty one of what has none."""
    import numpy as np

    sink = io.BytesIO()
    np.save(sink, np.zeros(0, np.float32) if found is None else found, allow_pickle=False)
    return sink.getvalue()
