"""Shard lists: what a stage's shards are, and nothing else. A list is written once."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hpcurate.store.filesystem import Filesystem
from hpcurate.store.layout import StageFolder, fan_of
from hpcurate.system.failpoints import failpoint

__all__ = ["Input", "Lists", "ShardLine"]


class Input(msgspec.Struct, frozen=True, array_like=True):
    """Rows [lo, hi) of one committed upstream shard."""

    stage: str
    """Folder of the upstream stage, `<name>-<fp12>`."""
    shard: str
    nonce: str
    lo: int
    hi: int


class ShardLine(msgspec.Struct, frozen=True):
    """One line of a shard list."""

    id: str
    weight: float
    count: int
    inputs: tuple[Input, ...]


_line = msgspec.json.Decoder(ShardLine)


class Lists:
    """The shard lists of one stage."""

    def __init__(self, filesystem: Filesystem, folder: StageFolder) -> None:
        self._filesystem, self._folder = filesystem, folder

    def names(self) -> list[str]:
        """All there are, sorted."""
        names = self._filesystem.names(self._folder.lists)
        return sorted(name.removesuffix(".jsonl") for name in names if name.endswith(".jsonl") and name[0] != ".")

    def read(self, name: str) -> list[ShardLine] | None:
        """The lines of a list, or None if it has not been made."""
        if f"{name}.jsonl" not in self._filesystem.names(self._folder.lists):
            return None
        return [_line.decode(line) for line in self._filesystem.read(self._folder.list_file(name)).splitlines()]

    def write(self, name: str, lines: Sequence[ShardLine]) -> list[ShardLine]:
        """Publish a list, unless somebody has: then theirs counts. Returns the list that stands."""
        self._filesystem.make_folders(self._folder.lists)
        for fan in sorted({fan_of(line.id) for line in lines}):
            self._filesystem.make_folders(self._folder.shards(fan))
            self._filesystem.make_folders(self._folder.claims(fan))
        failpoint("list.before")
        encoder = msgspec.json.Encoder()
        data = b"".join(encoder.encode(line) + b"\n" for line in lines)
        self._filesystem.create(self._folder.list_file(name), data)
        failpoint("list.after")
        standing = self.read(name)
        assert standing is not None, f"list {name} vanished from {self._folder.path}"
        return standing
