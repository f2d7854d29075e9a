"""Writing results for other programs: lines of JSON, CSV, Parquet, or a folder with the files themselves."""

from __future__ import annotations

import csv
import io
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

from hpcurate.errors import ConfigError, StoreError
from hpcurate.masks import Sieve, known, mask
from hpcurate.report.columns import Column, cell, columns_of, json_text, readable
from hpcurate.report.results import Results
from hpcurate.report.row_files import references
from hpcurate.runs.commands import verb
from hpcurate.store.filesystem import POSIX
from hpcurate.store.freed import FilesState, Freed
from hpcurate.store.layout import StageFolder

MANIFEST = "manifest.jsonl"
"""Rows of a folder of results, written last: a folder without it is not complete."""
ROWS_AT_ONCE = 20_000
"""Of a row group of Parquet."""


def write_jsonl(results: Results, file: BinaryIO) -> None:
    """A row each."""
    _masked((f"{json_text(row)}\n" for row in results.rows()), file)


def write_csv(results: Results, file: BinaryIO) -> None:
    """A header, then a row each; lists and all that is nested as JSON text."""
    columns = columns_of(results.rows())
    _masked(_csv_lines(results, columns), file)


def _csv_lines(results: Results, columns: dict[str, Column]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    rows = ([_csv_cell(row.get(name), column) for name, column in columns.items()] for row in results.rows())
    for row in itertools.chain([list(columns)] if columns else [], rows):
        writer.writerow(row)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _csv_cell(value: Any, column: Column) -> Any:
    if isinstance(value, bool):
        return json_text(value)
    return json_text(value) if isinstance(value, list) else cell(value, column)


def _masked(texts: Iterator[str], file: BinaryIO) -> None:
    values = known()
    sieve = Sieve(values) if values else None
    for text in texts:
        data = text.encode()
        file.write(sieve.feed(data) if sieve else data)
    if sieve:
        file.write(sieve.rest())


def write_parquet(results: Results, file: BinaryIO) -> None:
    """A column for each field. Raises ConfigError where pyarrow is missing."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ConfigError("--to parquet: needs pyarrow; type pip install 'hpcurate[video]', or use --to csv") from None
    columns = columns_of(results.rows())
    types = {name: pyarrow.type_for_alias(_arrow(column)) for name, column in columns.items()}
    schema = pyarrow.schema([(name, pyarrow.list_(t) if columns[name].listed else t) for name, t in types.items()])
    hide: Callable[[Any], Any] = _mask_texts if known() else lambda value: value
    with pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        rows = ({n: hide(cell(row.get(n), column)) for n, column in columns.items()} for row in results.rows())
        while some := list(itertools.islice(rows, ROWS_AT_ONCE)):
            writer.write_table(pyarrow.Table.from_pylist(some, schema=schema))


def _arrow(column: Column) -> str:
    return "string" if column.is_json else column.kind or "null"


def _mask_texts(value: Any) -> Any:
    if isinstance(value, list):
        return [_mask_texts(one) for one in value]
    return mask(value) if isinstance(value, str) else value


FORMATS: dict[str, Callable[[Results, BinaryIO], None]] = {
    "jsonl": write_jsonl,
    "csv": write_csv,
    "parquet": write_parquet,
}


# -- where it is written ----------------------------------------------------------------------------


@contextmanager
def new_file(path: str) -> Iterator[BinaryIO]:
    """A file that appears whole, or not at all, and replaces none. Raises ConfigError where there is one."""
    refuse_existing(path)
    folder, name = os.path.split(os.path.abspath(path))
    temporary = os.path.join(folder, f".{name}.{os.getpid()}")
    with _refusing(path):
        file = open(temporary, "xb")  # noqa: SIM115 - closed below
    try:
        with file:
            yield file
        _publish(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


@contextmanager
def _refusing(path: str) -> Iterator[None]:
    """A place where nothing can be made is the user's mistake. Raises ConfigError."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise ConfigError(f"{readable(path)}: cannot be made: {error.strerror}; name another place") from None


def refuse_existing(path: str) -> None:
    """Raise ConfigError where something has that name."""
    if os.path.lexists(path):
        raise ConfigError(f"{readable(path)}: exists, and nothing is overwritten; name another, or remove it first")


def _publish(temporary: str, path: str) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        refuse_existing(path)
    except OSError:  # a filesystem without hard links
        refuse_existing(path)
        os.rename(temporary, path)


def write_folder(results: Results, folder: str, *, copy: bool = False) -> int:
    """Files of the rows, hard-linked where that is possible and not to `copy`, and the rows; the number of files.

    In the rows a file is its path relative to the folder. Raises ConfigError for a folder that has something in it.
    """
    if os.path.lexists(folder) and not (os.path.isdir(folder) and not os.listdir(folder)):
        raise ConfigError(
            f"--to {readable(folder)}: exists and is not an empty folder; name another, or remove it first"
        )
    with _refusing(folder):
        os.makedirs(folder, exist_ok=True)
    placed: set[str] = set()
    for row in results.rows(lambda reference: reference):
        for reference in references(row):
            if reference not in placed:
                placed.add(reference)
                _place(results, reference, os.path.join(folder, place_of(reference)), copy)
    with new_file(os.path.join(folder, MANIFEST)) as file:
        _masked((f"{json_text(row)}\n" for row in results.rows(place_of)), file)
    return len(placed)


def place_of(reference: str) -> str:
    """`files/clips/0001-000042/<id>/clip.mp4`: where a file lies in a folder of results. Pure."""
    stage, _, _, shard, _, rest = reference.split("/", 5)
    return "/".join(["files", stage.rpartition("-")[0], shard, rest])


def _place(results: Results, reference: str, target: str, copy: bool) -> None:
    source = results.path(reference)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    try:
        if os.path.isdir(source):
            shutil.copytree(source, target, copy_function=_copy if copy else _link)
        else:
            (_copy if copy else _link)(source, target)
    except FileNotFoundError:
        if stage := _freed_of(results, reference):
            raise StoreError(
                f"{readable(source)}: was freed (keep=results), or was not in the archive that was imported (export "
                f"--files all takes it along); the run's command with rerun={stage} makes files of {stage} again"
            ) from None
        raise StoreError(
            f"{readable(source)}: is not there any more; type {verb('verify', results.run, results.store)} to see what "
            "else is gone, and how to make it again"
        ) from None


def _freed_of(results: Results, reference: str) -> str:
    """The stage of a file that is not there on purpose; empty for any other."""
    folder, _, _, shard, _ = reference.split("/", 4)
    freed = Freed(POSIX, StageFolder(os.path.join(results.stages, folder)), trash="").states([shard])
    gone = any(state is not FilesState.BACK for _, state in freed.values())
    return folder.rpartition("-")[0] if gone else ""


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another filesystem, or hard links are not allowed
        _copy(source, target)


def _copy(source: str, target: str) -> None:
    """A file of its own: readable and writable as any new one."""
    shutil.copyfile(source, target)
