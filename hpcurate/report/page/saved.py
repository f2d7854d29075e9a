"""Values that stages have saved with tasks, as the page shows them: what is known of each, and a small preview.

Reads files that stages wrote, within limits; what cannot be read has no preview. Nothing in them is run.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import attrs

from hpcurate.errors import SavedError
from hpcurate.report.page.logged import Table
from hpcurate.report.page.text import size
from hpcurate.report.row_files import is_reference
from hpcurate.report.rows import Plain, label_of
from hpcurate.savers.reading import About, about_of

TASKS = 4
"""Of a stage, whose values are shown."""
VALUES = 24
"""Of a stage."""
MOST_BYTES = 300_000
"""Of a picture; and of all pictures of a stage eight times as many."""
LINES, CHARACTERS = 12, 1200
"""Of a text."""
ROWS, COLUMNS, CELL = 5, 8, 80
"""Of a table, and characters of a cell."""
NUMBERS = 8
"""Of an array."""
LARGEST = 256_000_000
"""Bytes of a table or an array that is opened."""
ABOUT = 100_000
"""Bytes of what stands beside a file."""
IMAGES = {".png": "image/png", ".svg": "image/svg+xml"}
TEXTS = (".txt", ".json")


@attrs.define(frozen=True, kw_only=True)
class SavedValue:
    """One value of one task."""

    name: str
    task: str
    """What a user calls it."""
    saver: str
    facts: str
    """What is known of it, in words."""
    picture: str = ""
    """`data:` address."""
    text: str = ""
    table: Table | None = None


@attrs.define(frozen=True, kw_only=True)
class StageSaved:
    """What one stage saved."""

    stage: str
    tasks: int
    """With how many of the tasks that were read."""
    values: tuple[SavedValue, ...]


@attrs.define
class SavedRows:
    """Rows of one stage with which it has saved something itself: all are counted, and a few kept."""

    folder: str
    """Of the stage."""
    count: int = 0
    rows: list[Plain] = attrs.field(factory=list)

    def add(self, row: Plain) -> None:
        """A task that the stage has passed on."""
        if "saved" in row and (own := dict(_own(row["saved"], self.folder))):
            self.count += 1
            if len(self.rows) < TASKS:
                self.rows.append({**row, "saved": own})


def _own(saved: Any, folder: str) -> Iterator[tuple[str, str]]:
    """(name, reference of its file) of what lies in this stage's folder. Pure."""
    for name, one in saved.items() if isinstance(saved, dict) else ():
        file = one.get("file") if isinstance(one, dict) else None
        if (
            isinstance(file, str)
            and is_reference(file)
            and file.startswith(f"{folder}/")
            and ".." not in file.split("/")
        ):
            yield name, file


def stages_saved(found: Mapping[str, SavedRows], stages: str) -> tuple[StageSaved, ...]:
    """Of each stage that has saved anything; `stages` is where references start from."""
    shown = ((name, rows.count, tuple(_values(rows.rows, stages))) for name, rows in found.items() if rows.count)
    return tuple(StageSaved(stage=name, tasks=count, values=values) for name, count, values in shown)


def _values(rows: Iterable[Plain], stages: str) -> Iterator[SavedValue]:
    files = ((row, name, os.path.join(stages, file)) for row in rows for name, file in row["saved"].items())
    room = 8 * MOST_BYTES
    for row, name, path in itertools.islice(files, VALUES):
        with suppress(SavedError, OSError):  # freed, or damaged: there are others
            value = _value(name, label_of(row), path, room)
            room -= len(value.picture)
            yield value


def _value(name: str, task: str, path: str, room: int) -> SavedValue:
    about, length = about_of(path, ABOUT), os.stat(path).st_size
    known = SavedValue(name=name, task=task, saver=about.saver, facts=", ".join([*_facts(about), size(length)]))
    try:
        return attrs.evolve(known, **_preview(path, about, length, room))
    except Exception:  # whatever a library says of a file that is none of its kind, or is not there itself
        return known


def _facts(about: About) -> Iterator[str]:
    """`float32`, `3 × 2`, `rows 12`. Pure."""
    for name, value in about.facts.items():
        if name == "shape" and isinstance(value, list):
            yield " × ".join(map(str, value)) or "one number"
        elif name in ("dtype", "type"):
            yield str(value)[:CELL]
        elif name == "columns" and isinstance(value, dict):
            yield f"{len(value)} columns"
        elif isinstance(value, (int, float, str, dict, list)) and value not in ({}, []):
            yield f"{name} {value!s:.80}"


def _preview(path: str, about: About, length: int, room: int) -> dict[str, Any]:
    """Fields of a `SavedValue`, by what the file is."""
    kind = os.path.splitext(path)[1]
    if kind in IMAGES:
        return {"picture": _address(path, IMAGES[kind])} if length <= min(MOST_BYTES, room) else {}
    if kind in TEXTS:
        return {"text": _first_lines(path)}
    if kind == ".ipynb":
        return {"text": _cells(path)} if length <= MOST_BYTES else {}
    if kind == ".npy" and length <= LARGEST:
        return {"text": _numbers(path)}
    if kind == ".parquet" and length <= LARGEST:
        return {"table": _table(about.name, path)}
    return {}


def _address(path: str, kind: str) -> str:
    with open(path, "rb") as file:
        return f"data:{kind};base64,{base64.b64encode(file.read(MOST_BYTES)).decode()}"


def _first_lines(path: str) -> str:
    with open(path, "rb") as file:
        return _few(file.read(4 * CHARACTERS).decode("utf-8", "replace"))


def _few(text: str) -> str:
    """As much as is shown. Pure."""
    lines = text.splitlines()
    shown = "\n".join(lines[:LINES])
    return shown if len(lines) <= LINES and len(shown) <= CHARACTERS else f"{shown[:CHARACTERS]} …"


def _cells(path: str) -> str:
    with open(path, "rb") as file:
        cells = json.load(file)["cells"]
    texts = (f"[{one['cell_type']}] {''.join(one['source'])}" for one in cells[:LINES])
    return _few("\n".join(texts))


def _numbers(path: str) -> str:
    import numpy as np

    array = np.load(path, mmap_mode="r", allow_pickle=False)
    first = ", ".join(f"{one!s:.24}" for one in array.flat[:NUMBERS])
    return first + (" …" if array.size > NUMBERS else "")


def _table(name: str, path: str) -> Table:
    import pyarrow.parquet as pq

    with open(path, "rb") as file:
        parquet = pq.ParquetFile(file)
        header = parquet.schema_arrow.names[:COLUMNS]
        batch = next(parquet.iter_batches(batch_size=ROWS, columns=header), None)
        rows = batch.to_pylist() if batch is not None else []
        left = parquet.metadata.num_rows - len(rows)
    shown = tuple(tuple(_cell(row.get(column)) for column in header) for row in rows)
    return Table(name=name, header=tuple(header), rows=shown, left=left)


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, (int, float)) else f"{value!s:.{CELL}}"
