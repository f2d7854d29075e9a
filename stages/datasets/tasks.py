"""Tasks that lie inside larger files: a member of a tar, and a sample of a WebDataset."""

from __future__ import annotations

import json
from typing import Any, BinaryIO

import attrs

from hpcurate import FileTask, Task
from hpcurate.inside import Inside, file_of, inside, open_inside


@attrs.define(kw_only=True)
class Member(FileTask):
    """A file in a tar, read where it is: `path` is its address, which `open()` and the video and image stages take.

    `source` is the tar's and its own path: `shards/0001.tar/dir/a.mp4`. It has no field that other files lack, so that
    it goes wherever a `FileTask` goes.
    """

    @property
    def tar(self) -> str:
        """Absolute path of the tar."""
        return file_of(self.path)

    @property
    def offset(self) -> int:
        """Where its bytes begin in the tar."""
        found = inside(self.path)
        return found.start if found else 0


@attrs.define(kw_only=True)
class WebDatasetSample(Task):
    """The files of a tar whose paths are the same up to the first dot of the name. `weight` is their size in MB."""

    source: str
    """The tar's path relative to the input root, and what the files have in common: `shards/0001.tar/dir/000017`."""
    tar: str
    """Absolute path of the tar."""
    mtime_ns: int
    """When the tar was written, in nanoseconds: one that was written again is not read."""
    members: dict[str, list[int]]
    """Extension in lower case (`mp4`, `seg.png`) → [offset in the tar, bytes]."""

    def amounts(self) -> dict[str, float]:
        """Bytes of all its files."""
        return {"bytes": sum(size for _, size in self.members.values())}

    def address(self, extension: str) -> str:
        """What a function that reads a `path` takes, e.g. of a video. Raises LookupError naming what there is."""
        if extension not in self.members:
            raise LookupError(f"{self.source}: no {extension!r}; it has {', '.join(sorted(self.members))}")
        offset, size = self.members[extension]
        return str(Inside(self.tar, offset, offset + size, self.mtime_ns))

    def open(self, extension: str) -> BinaryIO:
        """One of its files, open for reading. Raises LookupError, OSError."""
        return open_inside(self.address(extension))

    def read(self, extension: str) -> bytes:
        """All of one of its files."""
        with self.open(extension) as file:
            return file.read()

    def text(self, extension: str = "txt") -> str:
        """One of its files as text in UTF-8. Raises UnicodeDecodeError."""
        return self.read(extension).decode()

    def json(self, extension: str = "json") -> Any:
        """What one of its files holds as JSON. Raises ValueError."""
        return json.loads(self.read(extension))
