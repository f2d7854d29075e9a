"""Texts: tasks that are a document, and where they come from."""

from __future__ import annotations

import gzip
import itertools
import zlib
from collections.abc import Iterator
from typing import Any, ClassVar

import attrs
import msgspec

from hpcurate import stable_id
from hpcurate.digest import digest
from hpcurate.errors import ConfigError
from hpcurate.fields import NEEDED, check_values, option
from hpcurate.source import Csv, Jsonl, Parquet
from hpcurate.source.base import Placed
from hpcurate.source.tables import Row, json_object
from hpcurate.system.classes import load_class
from stages.output_fields import Computed, Output, OutputTask, internal


class JsonlGz(Jsonl):
    """One JSON object a line, compressed by gzip, as datatrove and Dolma write them."""

    def rows(self) -> Iterator[Row]:
        """See `Jsonl`."""
        for path in self.files():
            try:
                with gzip.open(path, "rb") as file:
                    for number, line in enumerate(file, 1):
                        if line.strip():
                            yield f"{path}:{number}", json_object(f"{path}:{number}", line)
            except (OSError, EOFError, zlib.error) as error:
                raise ConfigError(f"{path}: cannot be read as gzip: {error}") from None


TABLES: dict[str, type[Jsonl | Csv | Parquet]] = {
    ".jsonl": Jsonl, ".jsonl.gz": JsonlGz, ".csv": Csv, ".parquet": Parquet,
}  # fmt: skip
"""End of a file's name → what reads it."""
_LOOKED_AT = 100
"""Rows of which one has to have the column with the text."""


@attrs.define(kw_only=True)
class TextTask(OutputTask):
    """A document, and what was measured on it."""

    computed: ClassVar[tuple[Computed, ...]] = (
        Computed(value=lambda task: task.id, type=str, output=Output(name="id", order=1)),
    )

    text: str
    data: dict[str, Any] = attrs.field(factory=dict)
    """The other columns of its row."""
    language: str | None = None
    """ISO 639-1; None: nobody looked."""
    language_score: float | None = None
    """How sure that is, 0 … 1."""
    quality: dict[str, float] = attrs.field(factory=dict)
    """Measure → value (see `stages/texts/measures.py`)."""
    digest: str | None = attrs.field(default=None, metadata=internal())
    """Of the text, folded (see `stages/dedup/digests.py`)."""
    signature: str = attrs.field(default="", metadata=internal())
    """MinHash (see `stages/dedup/signatures.py`), in base64; empty for a text without words."""
    how: str = attrs.field(default="", metadata=internal())
    """What the signature was made with."""

    def amounts(self) -> dict[str, float]:
        """Characters."""
        return {"characters": float(len(self.text))}


@attrs.define(frozen=True)
class Texts:
    """A source of texts: rows of JSONL, Parquet or CSV files with a column that is the text."""

    path: str = option(
        NEEDED, "a file, or a glob of several: JSONL (also .jsonl.gz), Parquet or CSV by the end of the name"
    )
    text: str = option("text", "column with the text; a row without one is an empty text")
    id: str = option(
        "id", "column that names the row; without it the row's content does, of which 100 bytes a row are remembered"
    )
    task: str | None = option(
        None, "a class of TextTask of your own, module.Class: columns that it has fields for go there, not into `data`"
    )

    def __attrs_post_init__(self) -> None:
        check_values(self, "source")
        if not issubclass(self.task_type, TextTask):
            raise ConfigError(f"source.task={self.task}: is no class of stages.texts.tasks.TextTask")
        if not self.path.lower().endswith(tuple(TABLES)):
            raise ConfigError(f"input={self.path}: expected a name that ends in {', '.join(TABLES)}")

    @property
    def task_type(self) -> type[TextTask]:
        """See `Source`."""
        found: type[TextTask] = TextTask if self.task is None else load_class(self.task, "source.task")
        return found

    def identity(self) -> dict[str, Any]:
        """The files, and how they are read."""
        return {**self._rows().identity(), "text": self.text, "task": self.task}

    def tasks(self) -> Iterator[TextTask]:
        """One task a row; the columns but text and id are its `data`."""
        return (task for _, task in self.placed())  # type: ignore[misc]  # all of `task_type`

    def placed(self) -> Iterator[Placed]:
        """See `Placed`."""
        seen, kind = set[bytes](), self.task_type
        fields = _fields_of(kind)
        for where, row in self._with_texts(self._rows().rows()):
            yield where, _converted(kind, where, self._plain(where, row, fields, seen))

    def _with_texts(self, rows: Iterator[Row]) -> Iterator[Row]:
        """The same rows. Raises ConfigError if none of the first ones has the column: it has another name."""
        first = list(itertools.islice(rows, _LOOKED_AT))
        if first and not any(self.text in row for _, row in first):
            where, row = first[0]
            raise ConfigError(f"{where}: no column {self.text!r}; there are: {', '.join(row)}; set source.text=COLUMN")
        return itertools.chain(first, rows)

    def _plain(self, where: str, row: dict[str, Any], fields: frozenset[str], seen: set[bytes]) -> dict[str, Any]:
        """Fields of a row's task."""
        text, id = row.get(self.text), row.get(self.id)
        if text is not None and not isinstance(text, str):
            raise ConfigError(f"{where}: {self.text}: expected text, got {text!r:.40}; set source.text=COLUMN")
        data = {name: value for name, value in row.items() if name not in (self.text, self.id)}
        own = {name: data.pop(name) for name in fields & data.keys()}
        named = _id_of(row, seen) if id in (None, "") else str(id)
        return {**own, "id": named, "text": text or "", "data": data}

    def _rows(self) -> Jsonl | Csv | Parquet:
        reads = next(reads for end, reads in TABLES.items() if self.path.lower().endswith(end))
        return reads(self.path, id=self.id)


def _converted(kind: type[TextTask], where: str, plain: dict[str, Any]) -> TextTask:
    try:
        return msgspec.convert(plain, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: not a {kind.__name__}: {error}") from None


def _fields_of(kind: type[TextTask]) -> frozenset[str]:
    """Those that a class adds."""
    return frozenset(field.name for field in attrs.fields(kind)) - {field.name for field in attrs.fields(TextTask)}


def _id_of(row: dict[str, Any], seen: set[bytes]) -> str:
    """By the row's content, and how many equal ones came before it: to find these is what a pipeline is for."""
    count = 0
    while (found := digest([row, count] if count else row)[:16].encode()) in seen:
        count += 1
    seen.add(found)
    return stable_id("text", found.decode())
