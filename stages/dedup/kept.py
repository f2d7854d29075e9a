"""The list of what deduplication kept: what a later run is compared with (`against`)."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from hpcurate import Resources, Stage, Task
from hpcurate.errors import ConfigError, StageError
from stages.dedup.keep import name_of
from stages.layout import readable
from stages.publish import publish_bytes

if TYPE_CHECKING:
    import pyarrow

PUBLISHED = os.path.join("dedup", "kept.parquet")
"""Under the run's output."""
_COLUMNS = ("id", "name", "digest", "length", "signature", "how")
_AT_ONCE = 10_000
"""Rows of a list that are read at a time."""
_MAGIC = b"PAR1"
"""What each Parquet file begins with."""


@attrs.define(kw_only=True)
class KeptTask(Task):
    """What later runs need of a task that was kept."""

    name: str
    """Its source, or its id."""
    digest: str = ""
    length: int = 0
    """Characters of a text."""
    signature: str = ""
    """MinHash of a text (`stages.dedup.signatures`), in base64; empty where there is none."""
    how: str = ""
    """What the signature was made with: only those made alike can be compared."""


class Kept(Stage[Task, KeptTask]):
    """A small task of each that was kept: without its text."""

    resources = Resources(cpus=1, memory="1GB", time="1h")
    batch_size = 1000
    version = 1

    def process(self, tasks: list[Task]) -> list[KeptTask]:
        """One each, with the same id."""
        return [self.child(task, KeptTask, id=task.id, **kept_fields(task)) for task in tasks]


class WriteKept(Stage[KeptTask, KeptTask]):
    """Write `dedup/kept.parquet` under `output`, sorted by id: a million rows with signatures take about 5 GB."""

    gather = True
    publishes = True
    operational = ("against",)
    resources = Resources(cpus=1, memory="8GB", time="1h")
    version = 1

    def __init__(self, output: str, against: list[str] | None = None) -> None:
        """Set where to write.

        Args:
            output: folder, made if missing.
            against: lists of earlier runs that this one reads: the one that it writes must not be among them.
        """
        self.output = output
        check_stays(os.path.join(output, PUBLISHED), against or [])

    def process(self, tasks: list[KeptTask]) -> list[KeptTask]:
        """The same tasks, written."""
        publish_bytes(kept_bytes(tasks), os.path.join(self.output, PUBLISHED))
        return tasks


def check_stays(written: str, against: Sequence[str]) -> None:
    """Raise ConfigError if a run would write its list over one that it is compared with, whose rows would be lost."""
    if os.path.realpath(written) in map(os.path.realpath, against):
        raise ConfigError(
            f"against: this run would write its own list over {written}, which it is compared with; name another "
            "output=…, and give later runs both lists"
        )


def kept_fields(task: Task) -> dict[str, Any]:
    """What is kept of a task, whatever its class. Pure."""
    own = {name: getattr(task, name, "") or "" for name in ("digest", "signature", "how")}
    return {"name": name_of(task), "length": len(getattr(task, "text", "")), **own}


def kept_bytes(tasks: Sequence[KeptTask]) -> bytes:
    """The list as Parquet: the same tasks, in any order, give the same bytes."""
    import pyarrow.parquet

    ordered, sink, schema = sorted(tasks, key=lambda task: task.id), io.BytesIO(), _schema()
    with pyarrow.parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for start in range(0, len(ordered), _AT_ONCE):  # a part at a time: memory is that of the tasks, not twice
            some = ordered[start : start + _AT_ONCE]
            columns = [pyarrow.array([_cell(getattr(task, name)) for task in some]) for name in _COLUMNS]
            writer.write_batch(pyarrow.record_batch(columns, schema=schema))
    return sink.getvalue()


def check_lists(paths: Sequence[str]) -> None:
    """Refuse what is no Parquet file, before anything runs. Raises ConfigError; what is not there is left alone."""
    for path in filter(os.path.isfile, paths):
        with open(path, "rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise ConfigError(f"against: {path}: no Parquet file; give a list that an earlier run has published")


def earlier_rows(paths: Sequence[str], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Rows of earlier lists. Raises StageError for a file that is none."""
    import pyarrow
    import pyarrow.parquet

    for path in paths:
        try:
            for batch in pyarrow.parquet.ParquetFile(path).iter_batches(_AT_ONCE, columns=list(columns)):
                rows: list[dict[str, Any]] = batch.to_pylist()
                if rows and rows[0].keys() != set(columns):
                    raise ValueError(f"expected the columns {', '.join(columns)}")
                yield from rows
        except (pyarrow.ArrowException, ValueError, OSError) as error:
            raise StageError(
                f"against: {path}: not a list of what was kept: {error}; give the {PUBLISHED} of a run's output"
            ) from None


def earlier_digests(paths: Sequence[str]) -> dict[str, str]:
    """Digest → name of the first that earlier runs kept with it. Raises StageError."""
    found: dict[str, str] = {}
    for row in earlier_rows(paths, ("digest", "name")):
        if row["digest"]:
            found.setdefault(row["digest"], row["name"])
    return found


def _cell(value: Any) -> Any:
    return readable(value) if isinstance(value, str) else value


def _schema() -> pyarrow.Schema:
    import pyarrow

    kinds = {"length": pyarrow.int64()}
    return pyarrow.schema([pyarrow.field(n, kinds.get(n, pyarrow.string()), nullable=False) for n in _COLUMNS])
