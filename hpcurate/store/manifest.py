"""`files.json`: what a folder of weights or of a packed environment must hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import msgspec

from hpcurate.store.filesystem import POSIX

MANIFEST = "files.json"
"""Written last: a folder without it is not complete."""
BLOCK = 2**20


class CopyFault(OSError):
    """A folder is not what its `files.json` says, or that cannot be read."""


class FileEntry(msgspec.Struct, frozen=True):
    """One file."""

    path: str
    size: int
    sha256: str


def write_manifest(folder: str, files: Iterable[FileEntry]) -> None:
    """Say that the folder, which nobody sees before it is renamed, is complete: read-only and flushed, too."""
    plain = {"files": [msgspec.to_builtins(f) for f in sorted(files, key=lambda f: f.path)]}
    POSIX.seal({folder: lambda _: json.dumps(plain, indent=1).encode() + b"\n"}, MANIFEST)


def read_manifest(folder: str) -> tuple[FileEntry, ...]:
    """The files a complete folder has. Raises CopyFault."""
    try:
        plain = json.loads(Path(folder, MANIFEST).read_text())
        return tuple(FileEntry(one["path"], one["size"], one["sha256"]) for one in plain["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CopyFault(f"{folder}/{MANIFEST}: cannot be read: {error}") from None


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
