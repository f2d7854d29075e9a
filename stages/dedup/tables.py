"""Vectors of tasks on disk: as `Embed` leaves them, as the stages here hand them on, and in the published lists."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from hpcurate import File
from hpcurate.errors import StageError
from stages.dedup.clusters import of_length_one, one_width
from stages.vision.tasks import VisualTask

if TYPE_CHECKING:
    import numpy as np
    import pyarrow

    from stages.dedup.clusters import Vectors


def file_of(task: VisualTask, model: str) -> File:
    """The file with a task's vector by that model; by the last one, where none is named. Raises StageError."""
    found = [file for file in task.embeddings if not model or os.path.splitext(file.name)[0] == model]
    if not found:
        others = ", ".join(os.path.splitext(file.name)[0] for file in task.embeddings) or "none"
        raise StageError(
            f"{task.id} has no vector{f' by {model}' if model else ''} (it has {others}); put a stage that makes one "
            "before this one, such as +embed=clip"
        )
    return found[-1]


def vectors_of(tasks: Sequence[VisualTask], model: str = "") -> Vectors:
    """(n, d): the tasks' vectors, made of length 1; each file is read once. Raises StageError."""
    import numpy as np

    wanted: dict[File, list[int]] = defaultdict(list)
    for k, task in enumerate(tasks):
        wanted[file_of(task, model)].append(k)
    parts = {file: _rows(file, [tasks[k].id for k in places]) for file, places in wanted.items()}
    try:
        width = one_width(list(parts.values()))
    except ValueError as error:
        raise StageError(f"{error}; embed all of them with one network, or name it: model=…") from None
    found = np.empty((len(tasks), width), np.float32)
    for file, places in wanted.items():
        found[places] = parts[file]
    return of_length_one(found)


def _rows(file: File, ids: Sequence[str]) -> Vectors:
    """Of these tasks, from a table with the columns `id` and `embedding`."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(os.fspath(file), columns=["id", "embedding"])
    places = {id: k for k, id in enumerate(table["id"].to_pylist())}
    lost = next((id for id in ids if id not in places), None)
    if lost is not None:
        raise StageError(f"{file.ref} has no row of {lost}")
    rows: Vectors = matrix(table["embedding"])[[places[id] for id in ids]]
    return rows


def read_vectors(file: File) -> tuple[list[str], Vectors]:
    """Ids, and (n, d) vectors, of a whole table."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(os.fspath(file), columns=["id", "embedding"])
    return table["id"].to_pylist(), matrix(table["embedding"])


def matrix(column: pyarrow.ChunkedArray) -> Vectors:
    """(n, d) of a column of lists of one length."""
    import numpy as np

    flat = np.concatenate([np.empty(0, np.float32), *(chunk.flatten().to_numpy() for chunk in column.chunks)])
    return flat.astype(np.float32, copy=False).reshape(len(column), -1) if len(column) else np.empty((0, 0), np.float32)


def save_matrix(path: str | os.PathLike[str], rows: Vectors) -> None:
    """As NumPy's npy: single rows of it can be read."""
    import numpy as np

    with open(path, "wb") as file:
        np.save(file, rows)


def load_rows(places: Sequence[tuple[File, int]]) -> Vectors:
    """(n, d): one row each of such files."""
    import numpy as np

    wanted: dict[File, list[int]] = defaultdict(list)
    for k, (file, _) in enumerate(places):
        wanted[file].append(k)
    found: Vectors | None = None
    for file, here in wanted.items():
        rows = np.load(os.fspath(file), mmap_mode="r")
        found = np.empty((len(places), rows.shape[1]), np.float32) if found is None else found
        found[here] = rows[[places[k][1] for k in here]]
    return np.empty((0, 0), np.float32) if found is None else found


class Row(NamedTuple):
    """What became of one task."""

    id: str
    source: str
    cluster: int
    kept: bool
    twin: str | None
    """Of a duplicate: the kept task that it is most similar to."""
    similarity: float | None
    """To that one."""
    to_centroid: float
    embedding: np.ndarray | None
    """Of a task that is kept."""


LIST = ("id", "source", "cluster", "kept", "twin", "similarity", "to_centroid")
"""Columns of the list of all tasks."""
KEPT = ("id", "cluster", "embedding")
"""Columns of what later runs compare with."""


def schema(columns: Iterable[str]) -> pyarrow.Schema:
    """Of a table with these columns of `Row`."""
    import pyarrow

    types = {
        "id": pyarrow.string(), "source": pyarrow.string(), "cluster": pyarrow.int32(), "kept": pyarrow.bool_(),
        "twin": pyarrow.string(), "similarity": pyarrow.float32(), "to_centroid": pyarrow.float32(),
        "embedding": pyarrow.list_(pyarrow.float32()),
    }  # fmt: skip
    return pyarrow.schema([pyarrow.field(name, types[name], nullable=name in LIST[4:6]) for name in columns])


def table_of(rows: Sequence[Row], columns: Sequence[str] = Row._fields) -> pyarrow.Table:
    """A table of rows, ordered by their id."""
    import pyarrow

    ordered = sorted(rows, key=lambda row: row.id)
    names: dict[str, Any] = {name: [getattr(row, name) for row in ordered] for name in columns}
    kind = schema(columns)
    if "embedding" in columns:
        kind = kind.set(kind.get_field_index("embedding"), kind.field("embedding").with_nullable(True))
    return pyarrow.table(names, schema=kind)


def kept_before(paths: Sequence[str | os.PathLike[str]], cluster: int, width: int) -> tuple[list[str], Vectors]:
    """Ids, and (n, d) vectors, of what earlier runs kept in a cluster; each id once. Raises StageError.

    Only the part of each file that has the cluster is read.
    """
    import numpy as np
    import pyarrow.parquet

    found: dict[str, np.ndarray] = {}
    for path in paths:
        table = pyarrow.parquet.read_table(path, columns=list(KEPT), filters=[("cluster", "==", cluster)])
        rows = matrix(table["embedding"])
        if len(rows) and rows.shape[1] != width:
            raise StageError(f"against: {path} has vectors of {rows.shape[1]} numbers, these have {width}")
        found |= dict(zip(table["id"].to_pylist(), rows, strict=True))
    ids = sorted(found)
    return ids, np.stack([found[id] for id in ids]) if ids else np.empty((0, width), np.float32)
