"""The index of an archive: what is in it, with a digest of each file, and a digest of itself. Pure.

`index.jsonl`: a line about the run, a line for each file, and last the SHA-256 of all lines before it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping

import msgspec

from hpcurate.errors import StoreError
from hpcurate.store.layout import CONTINUED, WITH_FREED_FILES
from hpcurate.store.layout import FORMAT as STORE_FORMAT

__all__ = ["FILES", "INDEX", "STAGE", "Entry", "Header", "Index", "check_name", "difference"]

FORMAT = 1
"""Of archives; a later one is refused."""
INDEX = "index.jsonl"
FILES = ("none", "outputs", "all")
"""Which files of a run go along: rows alone; its output, and files of the stages that nothing reads; every file."""
STAGE = re.compile(r"[a-z][a-z0-9_]{0,200}-[0-9a-f]{12}")
"""Name of the folder of a stage, or of a source."""
SHARD = re.compile(r"[A-Za-z0-9@+._-]+")
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}")
_NAME = re.compile(r"[0-9a-f]{16}")
_NEXT = "nothing was imported"


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: which run it is, and who wrote it."""

    archive: int = FORMAT
    store: int
    """Format of the store that it comes from."""
    hpcurate: str
    """Version that wrote it."""
    run: str
    folder: str
    """Of the run, where it comes from."""
    files: str
    """One of FILES."""
    open: dict[str, int]
    """Stage → its shards that were not committed; -1: it was not known yet which it has."""
    names: tuple[str, ...] = ()
    """Of a run that Python started: what the store calls its configuration."""


class Entry(msgspec.Struct, frozen=True):
    """A file of the archive."""

    path: str
    """Relative, with `/`; bytes that are no text are surrogates."""
    size: int
    sha256: str


class Index(msgspec.Struct, frozen=True):
    """What is in an archive."""

    header: Header
    entries: tuple[Entry, ...]

    def to_bytes(self) -> bytes:
        """As it is written."""
        plain = (msgspec.to_builtins(one) for one in (self.header, *self.entries))
        lines = "".join(json.dumps(one, ensure_ascii=True) + "\n" for one in plain).encode()
        return lines + json.dumps({"sha256": hashlib.sha256(lines).hexdigest()}).encode() + b"\n"

    @property
    def digest(self) -> str:
        """SHA-256 of what the index says, and so of all that is in the archive."""
        return str(json.loads(self.to_bytes().splitlines()[-1])["sha256"])

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.entries)

    def by_path(self) -> dict[str, Entry]:
        """Each file by its name."""
        return {entry.path: entry for entry in self.entries}

    @classmethod
    def parse(cls, data: bytes, archive: str) -> Index:
        """As it is read. Raises StoreError for one that was changed, or that a later hpcurate wrote."""
        lines = data.splitlines(keepends=True)
        _check_format(lines[:1], archive)
        try:
            digest = json.loads(lines[-1])["sha256"]
            header = msgspec.convert(json.loads(lines[0]), Header)
            entries = tuple(msgspec.convert(json.loads(line), Entry) for line in lines[1:-1])
        except (ValueError, LookupError, TypeError) as error:
            raise StoreError(f"{archive}: {INDEX} is damaged ({error}); {_NEXT}") from None
        if digest != hashlib.sha256(b"".join(lines[:-1])).hexdigest():
            raise StoreError(f"{archive}: {INDEX} was changed: its own SHA-256 differs; {_NEXT}")
        if not _RUN.fullmatch(header.run) or header.files not in FILES or not all(map(_NAME.fullmatch, header.names)):
            raise StoreError(f"{archive}: {INDEX} names no run: {header.run!a}; {_NEXT}")
        _check_names(entries, archive)
        return cls(header, entries)


def _check_format(first: Iterable[bytes], archive: str) -> None:
    """Before anything else of it is believed: a later format may look different."""
    try:
        plain = json.loads(next(iter(first), b""))
        found, store, wrote = int(plain["archive"]), int(plain["store"]), str(plain["hpcurate"])
    except (ValueError, LookupError, TypeError):
        raise StoreError(f"{archive}: {INDEX} is damaged, or not of an archive of hpcurate; {_NEXT}") from None
    known = (*CONTINUED, STORE_FORMAT, WITH_FREED_FILES)
    for what, number, ours in (("archive", found, (FORMAT,)), ("store", store, known)):
        if number not in ours:
            raise StoreError(
                f"{archive}: hpcurate {wrote} wrote {what} format {number}, this one reads {ours[-1]}; "
                "import it with that version, or a later one"
            )


def _check_names(entries: Iterable[Entry], archive: str) -> None:
    seen = set[str]()
    for entry in entries:
        check_name(entry.path, archive)
        parts = entry.path.split("/")
        if parts[:2] == ["run", "inputs"] and (len(parts) != 4 or parts[2] != entry.sha256[:16]):
            raise StoreError(f"{archive}: {entry.path!a}: its content is not that of its name; {_NEXT}")
        if entry.path in seen:
            raise StoreError(f"{archive}: {entry.path!a} is in it twice; {_NEXT}")
        seen.add(entry.path)


def check_name(path: str, archive: str) -> None:
    """Raise StoreError for what no archive of ours has: a name that leads elsewhere, or to nothing that is carried."""
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\0" in path or not _is_ours(parts):
        raise StoreError(f"{archive}: {path!a}: no such file belongs into an archive of hpcurate; {_NEXT}")


def _is_ours(parts: list[str]) -> bool:
    if parts[0] in ("run", "output"):
        return len(parts) > 1
    if parts[0] != "stages" or len(parts) < 3 or not STAGE.fullmatch(parts[1]):
        return False
    if parts[2] == "lists":
        return len(parts) == 4 and parts[3].endswith(".jsonl") and _is_plain(parts[3])
    if parts[2] == "shards":
        return len(parts) > 4 and _is_plain(parts[3])
    return parts[2:] == ["stage.json"]


def _is_plain(name: str) -> bool:
    return SHARD.fullmatch(name) is not None and not name.startswith(".")


def difference(wanted: Mapping[str, Entry], found: Mapping[str, Entry]) -> str:
    """What of an archive is not what its index says, in words; empty where all is. Pure."""
    for path, entry in found.items():
        if path not in wanted:
            return f"{path!a} is not in its index"
        if entry.size != wanted[path].size:
            return f"{path!a} has {entry.size} bytes, {wanted[path].size} were exported"
        if entry.sha256 != wanted[path].sha256:
            return f"{path!a} was changed: its SHA-256 is not that of the index"
    missing = next((path for path in wanted if path not in found), None)
    return "" if missing is None else f"{missing!a} is missing"
