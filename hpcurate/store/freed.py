"""Files of committed shards that were given up on purpose, and those that are made again. State is in names.

`freed/<fan>/<shard>.<n>` is what was `files/` of the shard; decision n (`store/uses.py`) moved it there, in one rename.
It is never empty again, so that nobody can repeat that rename, however late: what is made again stays. Beside it,
`….again` says that a run needs the files, `….back` that they are there again, `….differs` that they cannot be: the
attempt had other rows.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress

from hpcurate.store.filesystem import Filesystem
from hpcurate.store.layout import StageFolder, fan_of
from hpcurate.system.failpoints import failpoint

__all__ = ["FilesState", "Freed"]

TOMBSTONE = "freed"
"""The file that stays in such a folder."""


class FilesState(enum.Enum):
    """Where the files of a shard are; in this order if several names say so."""

    FREED = ""
    AGAIN = "again"
    """Somebody needs them: the shard is to be done again."""
    BACK = "back"
    DIFFERS = "differs"


class Freed:
    """The freed files of one stage."""

    def __init__(self, filesystem: Filesystem, folder: StageFolder, trash: str) -> None:
        self._filesystem, self._folder, self._trash = filesystem, folder, trash
        self._any = False

    @property
    def any(self) -> bool:
        """Whether files of the stage were ever freed: looked up, not listed."""
        self._any = self._any or self._filesystem.stamp(self._folder.freed) != 0
        return self._any

    def states(self, shards: Iterable[str]) -> dict[str, tuple[int, FilesState]]:
        """Shard → the decision that freed its files last, and where they are now; one listing a fan-out folder."""
        wanted = set(shards) if self.any else set()
        found: dict[str, tuple[int, FilesState]] = {}
        for fan in sorted({fan_of(shard) for shard in wanted}):
            for name in self._filesystem.names(self._folder.freed_fan(fan)):
                shard, number, state = _parsed(name)
                if shard in wanted:
                    found[shard] = max(found.get(shard, (0, FilesState.FREED)), (number, state), key=_rank)
        return found

    def lacking(self, shards: Iterable[str]) -> set[str]:
        """Those of them that are to be done again."""
        return {shard for shard, (_, state) in self.states(shards).items() if state is FilesState.AGAIN}

    def free(self, shard: str, number: int) -> None:
        """Carry out decision `number` for one shard: again and again, by whomever. Raises OSError."""
        target = self._folder.freed_files(shard, number)
        self._filesystem.make_folders(os.path.dirname(target))
        try:
            self._filesystem.rename(os.path.join(self._folder.shard(shard), "files"), target)
        except OSError as error:
            if not self._filesystem.names(target):  # else it was moved before
                if isinstance(error, FileNotFoundError):
                    return  # it has none
                raise
        failpoint("free.moved")
        self._filesystem.create(os.path.join(target, TOMBSTONE), b"")
        for name in self._filesystem.names(target):
            if name != TOMBSTONE and not name.startswith(f".{TOMBSTONE}."):  # who carries it out beside us makes one
                self._filesystem.discard(os.path.join(target, name), self._trash)

    def ask(self, shard: str, number: int) -> bool:
        """Write down that the files are needed: the shard is done again. True if this call did."""
        return self._filesystem.create(f"{self._folder.freed_files(shard, number)}.{FilesState.AGAIN.value}", b"")

    def put_back(self, attempt: str, shard: str, recorded: Mapping[str, int]) -> bool:
        """Give a shard the files of an attempt that has made the same once more; whether they are there. OSError.

        `recorded`: sizes of what was committed, by relative path.
        """
        number, _ = self.states([shard])[shard]
        there = os.path.join(self._folder.shard(shard), "files")
        made, had = _below_files(self._filesystem.sizes(attempt)), _below_files(recorded)
        same = self._same_rows(attempt, shard) and (made == had or (not made and bool(self._filesystem.names(there))))
        if same and made:  # else a rename that failed has moved them
            with suppress(FileExistsError):  # another attempt's, which made the same
                self._filesystem.rename(os.path.join(attempt, "files"), there)
            failpoint("free.put_back")
        state = FilesState.BACK if same else FilesState.DIFFERS
        self._filesystem.create(f"{self._folder.freed_files(shard, number)}.{state.value}", b"")
        return same

    def _same_rows(self, attempt: str, shard: str) -> bool:
        read, rows = self._filesystem.read, "tasks.jsonl"
        return read(os.path.join(attempt, rows)) == read(os.path.join(self._folder.shard(shard), rows))


def _below_files(sizes: Mapping[str, int]) -> dict[str, int]:
    return {path: size for path, size in sizes.items() if path.startswith("files/")}


def _parsed(name: str) -> tuple[str, int, FilesState]:
    """`0001-000042.3.again`: shard, decision, state. Pure."""
    stem, _, last = name.rpartition(".")
    if last in (state.value for state in FilesState if state.value):
        shard, _, number = stem.rpartition(".")
        return shard, int(number) if number.isdigit() else 0, FilesState(last)
    return stem, int(last) if last.isdigit() else 0, FilesState.FREED


def _rank(found: tuple[int, FilesState]) -> tuple[int, int]:
    number, state = found
    return number, list(FilesState).index(state)
