"""Shard lists: what a stage's shards are, and nothing else.

A list has a name and versions, `0001`, `0001+1`, …, each written once. The next version is made when the inputs of the
one before are no longer what is committed upstream; the lines whose inputs still stand are the same in both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

import msgspec

from hpcurate.errors import StoreError
from hpcurate.store.filesystem import Filesystem
from hpcurate.store.layout import StageFolder, base, fan_of, version
from hpcurate.store.packed import Blocks, Packed
from hpcurate.sums import StageSums
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


class ShardLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a shard list."""

    id: str
    weight: float
    count: int
    inputs: tuple[Input, ...]
    above: tuple[StageSums, ...] = ()
    """What a stage that counts is told, in the order of the pipeline."""
    retries: tuple[Input, ...] = ()
    """Of a list of retries: rows of what went into the stage's own shards, which ended there as dead letters. As many
    as there are rows in `inputs`, and in the same order."""
    results: str = ""
    """Names the values of the results among its stage's parameters; empty where there are none."""
    offsets: tuple[int, ...] = ()
    """Of a group stage: byte where the first row of each input begins in its file; empty: to be found by counting."""


_line = msgspec.json.Decoder(ShardLine)
BLOCK_BYTES = 1 << 17
"""Of a list, that are read at a time: about a thousand lines."""


class Lists:
    """The shard lists of one stage."""

    def __init__(self, filesystem: Filesystem, folder: StageFolder) -> None:
        self._filesystem, self._folder = filesystem, folder

    def names(self) -> list[str]:
        """All there are, sorted."""
        names = self._filesystem.names(self._folder.lists)
        return sorted(name.removesuffix(".jsonl") for name in names if name.endswith(".jsonl") and name[0] != ".")

    def versions(self, name: str) -> list[str]:
        """The versions of a list that a listing has, oldest first; `name` itself first, whether it has it or not.

        A list is opened by its name: a listing may be older than the list.
        """
        return sorted({name, *(found for found in self.names() if base(found) == name)}, key=version)

    def read(self, name: str) -> list[ShardLine] | None:
        """The lines of a list, or None if it has not been made. It is opened, not looked for in a listing.

        Raises StoreError if it is damaged.
        """
        found = self._blocks(name)
        return None if found is None else [line for data in found for line in self._lines(name, data)]

    def read_packed(self, name: str) -> Blocks[ShardLine] | None:
        """The same, for who goes through them now and then: of a million lines a thousand are there at a time."""
        found = self._blocks(name)
        if found is None:
            return None
        lengths, parts = [], []
        for data in found:
            lengths.append(len(self._lines(name, data)))
            parts.append(Packed(data, _line.decode_lines))
        return Blocks(parts, lengths)

    def _blocks(self, name: str) -> Iterator[bytes] | None:
        try:
            return _whole_lines(self._filesystem.read(self._folder.list_file(name)))
        except FileNotFoundError:
            return None

    def _lines(self, name: str, data: bytes) -> list[ShardLine]:
        try:
            return _line.decode_lines(data)
        except msgspec.MsgspecError as error:
            raise StoreError(
                f"{self._folder.list_file(name)}: is not a shard list ({error}): it was changed by hand, or a part "
                "of it was lost; move it out of the store and type the run's command again"
            ) from None

    def is_there(self, name: str) -> bool:
        """Whether a list has been made, and was not purged. It is opened, as in `read`."""
        with suppress(FileNotFoundError):
            self._filesystem.read(self._folder.list_file(name))
            return True
        return False

    def is_begun(self, name: str) -> bool:
        """Whether a list has its name and no content yet, as it is for a moment where there are no hard links.

        One without lines is an empty line; of an earlier release, nothing.
        """
        with suppress(FileNotFoundError):
            return not self._filesystem.read(self._folder.list_file(name))
        return False

    def write(self, name: str, lines: Sequence[ShardLine]) -> list[ShardLine]:
        """Publish a list, unless somebody has: then theirs counts. Returns the list that stands."""
        self._filesystem.make_folders(self._folder.lists)
        for fan in sorted({fan_of(line.id) for line in lines}):
            self._filesystem.make_folders(self._folder.shards(fan))
            self._filesystem.make_folders(self._folder.claims(fan))
        failpoint("list.before")
        encoder = msgspec.json.Encoder()
        data = b"".join(encoder.encode(line) + b"\n" for line in lines) or b"\n"
        self._filesystem.create(self._folder.list_file(name), data)
        failpoint("list.after")
        standing = self.read(name)
        if standing is None:  # another host's, which this one cannot see yet
            raise StoreError(
                f"{self._folder.list_file(name)}: was made by another host and cannot be read here yet; "
                "type the command again in a minute"
            )
        return standing


def _whole_lines(data: bytes) -> Iterator[bytes]:
    """Blocks that end with a line; one without lines is left out."""
    begin = 0
    while begin < len(data):
        end = data.find(b"\n", begin + BLOCK_BYTES) + 1 or len(data)
        if block := data[begin:end].strip(b"\n"):
            yield block
        begin = end
