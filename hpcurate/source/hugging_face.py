"""Data sets of Hugging Face on disk: what `save_to_disk` wrote, or a folder of Parquet files as on the hub.

`datasets` itself is not needed, and nothing is fetched.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import attrs
import msgspec

from hpcurate.digest import digest
from hpcurate.errors import ConfigError
from hpcurate.fields import NEEDED, check_values, option, suggestion
from hpcurate.source.arrow_files import columns_of, rows_of
from hpcurate.source.base import Placed, absolute
from hpcurate.source.row_task import RowTask
from hpcurate.source.walk import walk_files
from hpcurate.system.classes import load_class
from hpcurate.task import Task, stable_id

__all__ = ["HuggingFace", "data_files", "split_of"]

STATE, SPLITS = "state.json", "dataset_dict.json"
"""What `save_to_disk` leaves in the folder of one split, and in that of several."""
KEYWORDS = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation",
    "dev": "validation", "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
}  # fmt: skip
"""Words of a path that name a split (`datasets.data_files.SPLIT_KEYWORDS`)."""
_NUMBERED = re.compile(r"(?:.*-)?(\w+)-\d{5}-of-\d{5}(?:-\w+)?")
"""`train-00000-of-00012`, with a digest behind it in the cache of `datasets`."""
_WORDS = re.compile(r"[\W_]+")
OWN = ("source", "split", "path", "row", "size", "mtime_ns")
"""Fields of a row that say where it is."""


class DataFile(NamedTuple):
    """A file of a data set."""

    path: str
    """Absolute."""
    name: str
    """Relative to the data set."""
    split: str


@attrs.define(frozen=True)
class HuggingFace:
    """Rows of a data set on disk as `RowTask`s: a folder of `save_to_disk`, or one of Parquet or Arrow files.

    Images and other bytes stay in the files; a stage reads them with `row.bytes("image")`. Needs pyarrow.
    """

    path: str = option(NEEDED, "folder of the data set, or of one of its configurations; or one file")
    split: str | None = option(None, "only this split, such as train; default: all of them")
    columns: tuple[str, ...] = option((), "columns of the rows; default: all that hold no bytes", converter=tuple)
    task: str | None = option(
        None, "task class, module.Class, derived from RowTask, whose fields the columns are; default: `data` has them"
    )
    id: str | None = option(None, "column that names the row; default: its file and number do")
    weight: str | None = option(None, "column with the expected cost; default: 1 for each row")
    extra: str = option(
        "error", "a column that the task class has no field for: `error`, or `ignore`", choices=("error", "ignore")
    )

    def __attrs_post_init__(self) -> None:
        check_values(self, "source")
        if not issubclass(self.task_type, RowTask):
            raise ConfigError(f"source.task={self.task}: is not derived from hpcurate.source.RowTask")

    @property
    def task_type(self) -> type[Task]:
        """See `Source`."""
        found: type[Task] = RowTask if self.task is None else load_class(self.task, "source.task")
        return found

    def identity(self) -> dict[str, Any]:
        """See `Source`."""
        kind = {"task": self.task, "id": self.id, "weight": self.weight, "columns": list(self.columns)}
        return {"hugging_face": absolute(self.path), "split": self.split, **kind}

    def files(self) -> list[str]:
        """Paths of its files, in order. Raises ConfigError."""
        return [file.path for file in self._files()]

    def reading(self) -> str | None:
        """See `Jsonl.reading`: nobody can tell what a class of somebody's depends on."""
        return digest([type(self).__name__, attrs.asdict(self)]) if self.task is None else None

    def tasks(self) -> Iterator[Task]:
        """See `Source`."""
        return (task for _, task in self.placed())

    def placed(self) -> Iterator[Placed]:
        """See `Placed`."""
        found = False
        for file in self._files():
            status = os.stat(file.path)
            columns = self._columns(file)
            for row, values in enumerate(rows_of(file.path, columns)):
                found, where = True, f"{file.path}:{row}"
                own = {
                    "source": f"{file.name}:{row}", "split": file.split, "path": file.path, "row": row,
                    "size": status.st_size, "mtime_ns": status.st_mtime_ns,
                }  # fmt: skip
                yield where, self._task(where, own, values)
        if not found:
            raise ConfigError(f"input={self.path}: holds no row")

    def _files(self) -> list[DataFile]:
        files = data_files(self.path)
        chosen = [file for file in files if self.split in (None, file.split)]
        if not chosen:
            splits = sorted({file.split for file in files})
            raise ConfigError(f"source.split={self.split}: no such split; {self.path} has {', '.join(splits)}")
        return chosen

    def _columns(self, file: DataFile) -> list[str]:
        """Those of the rows; the others stay in the file."""
        there = columns_of(file.path)
        named = [name for name in (self.id, self.weight) if name is not None]
        for name in (*self.columns, *named):
            if name not in there:
                raise ConfigError(f"{file.path}: no column {name!a}; {suggestion(name, sorted(there))}")
        wanted = [name for name, has_bytes in there.items() if name in self.columns or not (self.columns or has_bytes)]
        return list(dict.fromkeys([*wanted, *named]))

    def _task(self, where: str, own: dict[str, Any], values: dict[str, Any]) -> Task:
        try:
            row = msgspec.to_builtins(values, str_keys=True)  # times as ISO 8601, decimals as text
            task: Task = msgspec.convert({**self._fields(where, own, row)}, self.task_type, strict=False)
        except (msgspec.ValidationError, TypeError, ValueError) as error:
            raise ConfigError(f"{where}: not a {self.task_type.__name__}: {error}") from None
        if not math.isfinite(task.weight):
            raise ConfigError(f"{where}: {self.weight}={task.weight}: a weight is a finite number")
        return task

    def _fields(self, where: str, own: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
        if self.id is not None and row[self.id] in (None, ""):
            raise ConfigError(f"{where}: column {self.id!a} is empty; it names the row")
        own = {**own, "id": stable_id("row", own["source"]) if self.id is None else str(row[self.id])}
        if self.weight is not None:
            own["weight"] = row[self.weight]
        if self.task is None:
            return {**own, "data": row}
        fields = {field.name for field in attrs.fields(self.task_type)} - {*OWN, "id", "parents", "weight", "data"}
        unknown = row.keys() - fields - {self.id, self.weight}
        if unknown and self.extra == "error":
            raise ConfigError(
                f"{where}: {self.task_type.__name__} has no field of its own for column {min(unknown)!a}; name those "
                f"that you want with source.columns=[…], or source.extra=ignore"
            )
        return {**{name: value for name, value in row.items() if name in fields}, **own}


# -- the files of a data set --------------------------------------------------------------------------


def data_files(path: str) -> list[DataFile]:
    """The files of a data set in their order, with their splits. Raises ConfigError."""
    root = absolute(path)
    if os.path.isfile(root):
        return [DataFile(root, os.path.basename(root), split_of(os.path.basename(root)))]
    if os.path.isfile(os.path.join(root, SPLITS)):
        splits = _json(os.path.join(root, SPLITS)).get("splits")
        if not isinstance(splits, list) or not all(
            isinstance(one, str) and one == os.path.basename(one) for one in splits
        ):
            raise ConfigError(f"{os.path.join(root, SPLITS)}: expected a list of names under `splits`")
        return [file for split in splits for file in _saved(root, split, split)]
    if os.path.isfile(os.path.join(root, STATE)):
        return _saved(root, "", None)
    return _found(path, root)


def _saved(root: str, folder: str, split: str | None) -> list[DataFile]:
    """Files of one split, as `save_to_disk` wrote them down."""
    place = os.path.join(root, folder, STATE)
    state = _json(place)
    if state.get("_indices_files") or state.get("_indices_data_files"):
        raise ConfigError(
            f"{place}: rows are chosen by an index of an old release; save it once with flatten_indices()"
        )
    try:
        names = [str(one["filename"]) for one in state["_data_files"]]
    except (KeyError, TypeError):
        raise ConfigError(f"{place}: expected the names of its files under `_data_files`") from None
    if any(name != os.path.basename(name) for name in names):
        raise ConfigError(f"{place}: names a file outside of its folder")
    found = split or str(state.get("_split") or "train")
    return [DataFile(os.path.join(root, folder, name), os.path.join(folder, name), found) for name in names]


def _json(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            found = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: expected a JSON object")
    return found


def _found(path: str, root: str) -> list[DataFile]:
    """All files of a folder as on the hub, or in the cache, whose intermediate results are no data."""
    if not os.path.isdir(root):
        raise ConfigError(f"input={path}: no such folder or file; give the folder of a data set")
    names = [os.path.relpath(entry.path, root) for entry in walk_files(root)]
    names = [name for name in names if name.lower().endswith((".parquet", ".arrow"))]
    names = [name for name in names if not os.path.basename(name).startswith(("cache-", "tmp"))]
    if not names:
        raise ConfigError(f"input={path}: no {STATE}, and no .parquet or .arrow file there")
    return [DataFile(os.path.join(root, name), name, split_of(name)) for name in names]


def split_of(name: str) -> str:
    """The split of a file by its path, as `datasets` reads it; `train` where nothing says. Pure."""
    *folders, base = name.split("/")
    stem = base.rpartition(".")[0]
    numbered = _NUMBERED.fullmatch(stem)
    if numbered:
        return KEYWORDS.get(numbered[1], numbered[1])
    words = [word for part in (stem, *reversed(folders)) for word in _WORDS.split(part.lower())]
    return next((KEYWORDS[word] for word in words if word in KEYWORDS), "train")
