"""A golden folder: some tasks that a stage was given, what became of them, and their files.

<folder>/golden.json    what the stage is, and which class each file of input rows has
         input-1.jsonl  rows that the stage was given; one file for each class of tasks
         tasks.jsonl, dropped.jsonl, failed.jsonl, written.jsonl
         files/<digest>/<name>

A row names a file by `{"$file": "files/…"}`, and one of the input, whose row had its path, by `{"$path": "files/…"}`.
Files are named by their content, so the folder is the same for the same tasks, wherever it is made.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable
from urllib.parse import quote_from_bytes, unquote_to_bytes

import attrs

from hpcurate.errors import ConfigError, StoreError
from hpcurate.golden.outcomes import Kept, Plain
from hpcurate.golden.values import KeptFile, files_in

__all__ = ["GOLDEN", "Given", "Golden", "Placer", "read_golden", "write_golden"]

GOLDEN = "golden.json"
FORMAT = 1
FILE, PATH = "$file", "$path"
SAVED = {"file", "about"}
"""Fields of what a row says of a saved value: see `store/saved_rows.py`."""
STAGE = ("name", "target", "parameters")
"""What is known of each stage."""
ENDS = tuple(field.name for field in attrs.fields(Kept))
LARGEST_MB = 100
"""More than this is no golden folder that anybody keeps beside code."""
MANY = 60
"""Bytes of a file's name that are kept."""


@attrs.define(frozen=True)
class Given:
    """Tasks of one class that a stage was given; files are `KeptFile`s."""

    kind: str
    """`module:qualname` of their class."""
    rows: Sequence[Plain]


@attrs.define(frozen=True)
class Golden:
    """What is in such a folder."""

    stage: Plain
    """How the stage is made and run, as plain values."""
    given: Sequence[Given]
    kept: Kept


# -- writing --------------------------------------------------------------------------------------------


def write_golden(folder: str, golden: Golden) -> None:
    """Make the folder, or put it in the place of the one that is there; until that is whole, the old one stays.

    Raises ConfigError for a folder of something else, and for files that are too large together.
    """
    folder = os.path.abspath(folder)
    _check_place(folder)
    parent = os.path.dirname(folder)
    os.makedirs(parent, exist_ok=True)
    temporary = os.path.join(parent, f".{os.path.basename(folder)}.{secrets.token_hex(4)}")
    try:
        os.mkdir(temporary)
        _write(Path(temporary), golden)
        _put(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_place(folder: str) -> None:
    if os.path.lexists(folder) and (not os.path.isdir(folder) or (os.listdir(folder) and not _is_golden(folder))):
        raise ConfigError(f"{folder}: is there, and no golden folder; name a new one, or one with a {GOLDEN}")


def _is_golden(folder: str) -> bool:
    return os.path.isfile(os.path.join(folder, GOLDEN))


def _put(made: str, folder: str) -> None:
    old = f"{made}.old"
    if os.path.isdir(folder):
        os.rename(folder, old)
    os.rename(made, folder)
    shutil.rmtree(old, ignore_errors=True)


def _write(folder: Path, golden: Golden) -> None:
    files = _Files(folder)
    for number, given in enumerate(golden.given, 1):
        _write_rows(folder / f"input-{number}.jsonl", given.rows, files)
    for name in ENDS:
        _write_rows(folder / f"{name}.jsonl", getattr(golden.kept.compared(), name), files)
    kinds = [given.kind for given in golden.given]
    plain = {"format": FORMAT, "stage": files.named(golden.stage), "given": kinds}
    (folder / GOLDEN).write_text(json.dumps(plain, indent=1) + "\n")


def _write_rows(path: Path, rows: Sequence[Plain], files: _Files) -> None:
    path.write_text("".join(json.dumps(files.named(row)) + "\n" for row in rows))


class _Files:
    """Copies files into the folder, each content once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, str] = {}
        self._size = 0

    def named(self, value: Any) -> Any:
        """A value of a row with the names of copies."""
        if isinstance(value, dict):
            return {key: self.named(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.named(inner) for inner in value]
        return {PATH if value.is_input else FILE: self._copy(value)} if isinstance(value, KeptFile) else value

    def _copy(self, file: KeptFile) -> str:
        if file.path not in self._known:
            try:
                self._known[file.path] = self._copied(file)
            except FileNotFoundError:
                raise StoreError(
                    f"{file.path}: is gone, so it cannot be kept; choose other tasks with --tasks"
                ) from None
        return self._known[file.path]

    def _copied(self, file: KeptFile) -> str:
        self._size += sum(map(os.path.getsize, files_in(file.path)))
        if self._size > LARGEST_MB * 1e6:
            raise ConfigError(f"files of these tasks are more than {LARGEST_MB} MB; choose fewer, --tasks first 5")
        name = os.path.join("files", _digest(file.path), _portable(file.name))
        target = self._folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            (shutil.copytree if os.path.isdir(file.path) else shutil.copyfile)(file.path, target)
        return name


def _portable(name: str) -> str:
    """A name that every filesystem and git takes; of a long one its end, which has the suffix."""
    quoted = quote_from_bytes(os.fsencode(name)[-MANY:], safe=" ()[]{}+,=@~^&$'!#")
    return f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted


def _called(name: str) -> str:
    """The name that it stands for."""
    return os.fsdecode(unquote_to_bytes(name))


def _digest(path: str) -> str:
    """Names the content of a file, or of a folder with the names of what is in it."""
    found = hashlib.sha256()
    for one in files_in(path):
        found.update(b"" if one == path else os.fsencode(os.path.relpath(one, path)) + b"\0")
        with open(one, "rb") as file:
            while block := file.read(1 << 20):
                found.update(block)
    return found.hexdigest()[:16]


# -- reading --------------------------------------------------------------------------------------------


def read_golden(folder: str) -> Golden:
    """What is in the folder. Raises ConfigError where there is none, StoreError for one that was changed."""
    folder = os.path.abspath(folder)
    path = os.path.join(folder, GOLDEN)
    if not os.path.isfile(path):
        raise ConfigError(
            f"{folder}: is no golden folder, it has no {GOLDEN}; "
            f"hpcurate replay STAGE --of RUN --golden {folder} --save makes one"
        )
    try:
        plain = json.loads(Path(path).read_bytes())
        if plain["format"] != FORMAT:
            raise StoreError(f"{path}: has format {plain['format']}, this hpcurate reads {FORMAT}; make it again")
        rows = _Reading(folder)
        given = [Given(kind, rows.of(f"input-{number}")) for number, kind in enumerate(plain["given"], 1)]
        stage = rows.with_files({key: plain["stage"][key] for key in (*STAGE, *plain["stage"])})
        return Golden(stage, given, Kept(*map(rows.of, ENDS)))
    except (ValueError, LookupError, TypeError, FileNotFoundError) as error:
        raise StoreError(f"{folder}: cannot be read: {error}; take it from git again, or make it with --save") from None


class _Reading:
    """Rows of a folder."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._checked: set[str] = set()

    def of(self, name: str) -> list[Plain]:
        """All rows of a file."""
        lines = Path(self._folder, f"{name}.jsonl").read_bytes().splitlines()
        return [self._row(json.loads(line), name) for line in lines]

    def _row(self, row: Any, name: str) -> Plain:
        if not isinstance(row, dict) or "id" not in row:
            raise ValueError(f"{name}.jsonl has a row without an id")
        found: Plain = self.with_files(row)
        return found

    def with_files(self, value: Any) -> Any:
        """The value with the files that it names."""
        if isinstance(value, dict):
            key = next(iter(value)) if len(value) == 1 else None
            if key in (FILE, PATH):
                path = self._path(str(value[key]))
                return KeptFile(path, is_input=key == PATH, called=_called(os.path.basename(path)))
            return {name: self.with_files(inner) for name, inner in value.items()}
        return [self.with_files(inner) for inner in value] if isinstance(value, list) else value

    def _path(self, name: str) -> str:
        """Raises StoreError for a file that is not there, leads out of the folder, or has another content."""
        path = os.path.join(self._folder, name)
        inside = os.path.realpath(path).startswith(os.path.realpath(self._folder) + os.sep)
        if not inside or not os.path.exists(path):
            raise StoreError(
                f"{path}: is named by a row, and not there; take it from git again, or make it with --save"
            )
        if path not in self._checked and os.path.basename(os.path.dirname(path)) != _digest(path):
            raise StoreError(f"{path}: was changed since it was kept; take it from git again, or make it with --save")
        self._checked.add(path)
        return path


# -- in place -------------------------------------------------------------------------------------------


@attrs.define
class Placer:
    """Puts kept files where a stage finds them: those that stages made by links below `root`."""

    root: str
    prefix: str
    """Folder below it."""
    copies: bool
    """All files are copied there, those of the input with the time that their row has; else they stay where they are,
    and the folders of those that stages made are linked: a stage may not pass on what is a link itself."""
    texts: dict[str, KeptFile] = attrs.field(factory=dict)
    """How rows name the files of the input now."""
    _known: dict[str, str] = attrs.field(factory=dict)

    def rows(self, given: Given) -> list[Plain]:
        """Rows as the stage reads them."""
        return [self._in(row, row.get("mtime_ns")) for row in given.rows]

    def _in(self, value: Any, stamp: Any) -> Any:
        if isinstance(value, dict):
            if set(value) == SAVED and all(isinstance(one, KeptFile) for one in value.values()):
                return self._saved(value)
            return {key: self._in(inner, stamp) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._in(inner, stamp) for inner in value]
        return self._text_of(value, stamp) if isinstance(value, KeptFile) else value

    def _saved(self, value: dict[str, KeptFile]) -> dict[str, str]:
        """A value that was saved with a task, and what is known of it: the second is found beside the first."""
        return {key: self._reference((*value.values(),), file) for key, file in value.items()}

    def _text_of(self, file: KeptFile, stamp: Any) -> str:
        if not file.is_input:
            return self._reference((file,), file)
        reference = self._reference((file,), file, stamp) if self.copies else ""
        text = os.path.join(self.root, reference) if self.copies else file.path
        self.texts[text] = file
        return text

    def _reference(self, together: tuple[KeptFile, ...], file: KeptFile, stamp: Any = None) -> str:
        """Where a file stands, in one folder with the others."""
        if self.copies:
            what = "\0".join(one.path for one in together)
            folder = self._folder(what, lambda path: _copy(together, path, stamp))
        else:
            there = os.path.dirname(os.path.abspath(file.path))
            folder = self._folder(there, lambda path: os.symlink(there, path))
        return os.path.join(folder, file.name)

    def _folder(self, what: str, make: Callable[[str], None]) -> str:
        """A folder below the root, which `make` makes once for each of these."""
        if what not in self._known:
            self._known[what] = os.path.join(self.prefix, str(len(self._known) + 1))
            os.makedirs(os.path.join(self.root, self.prefix), exist_ok=True)
            make(os.path.join(self.root, self._known[what]))
        return self._known[what]


def _copy(files: tuple[KeptFile, ...], folder: str, stamp: Any) -> None:
    """A data set checks that its file is the one that it was, and git keeps no times."""
    os.mkdir(folder)
    for file in files:
        copy = os.path.join(folder, file.name)
        (shutil.copytree if os.path.isdir(file.path) else shutil.copyfile)(file.path, copy)
        if isinstance(stamp, int):
            os.utime(copy, ns=(stamp, stamp))
