"""Checkpoints: what the tasks of a shard have reached, for the attempt after the one that is at work.

A shard has one folder of them, which has the number of an attempt in its name: `<shard>.<n>`. Attempt n+1 takes it
before it begins, by renaming it. So there is never a second copy, and the paths of whoever still works on attempt n are
gone. What was taken may hold nothing, or come from an attempt long ago: those in between may never have begun.

Tasks that ended as dead letters keep theirs, under the number 0, for the attempts of a retry.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from contextlib import suppress

from hpcurate.store.curves import METRICS
from hpcurate.store.filesystem import Filesystem
from hpcurate.store.layout import StageFolder, content_id, fan_of
from hpcurate.system.failpoints import failpoint

DEAD = 0
"""Number of the folder that dead letters have left."""


class Checkpoints:
    """The checkpoints of one stage."""

    def __init__(self, filesystem: Filesystem, folder: StageFolder, trash: str) -> None:
        self._filesystem, self._folder, self._trash = filesystem, folder, trash

    def take(self, shard: str, attempt: int) -> str:
        """Make what earlier attempts have reached this one's, before it begins; its folder. Raises OSError.

        By names alone: a listing may be older than the last rename. The newest first, and then up again: where an
        attempt that is over takes it just now, it moves up, and is met on the way back.
        """
        path = self._folder.checkpoint(shard, attempt)
        self._filesystem.make_folders(os.path.dirname(path))
        failpoint("checkpoint.before")
        for number in (*range(attempt - 1, DEAD, -1), *range(DEAD, attempt)):
            try:
                self._filesystem.rename(self._folder.checkpoint(shard, number), path)
            except FileNotFoundError:
                continue
            except FileExistsError:  # the answer to a rename before was wrong
                pass
            failpoint("checkpoint.taken")
            return path
        self._filesystem.make_folder(path)
        return path

    def adopt(self, task: str, shard: str, path: str) -> None:
        """Take what a task has reached that ended in another shard as a dead letter. Raises OSError."""
        with suppress(FileNotFoundError, FileExistsError):
            self._filesystem.rename(f"{self._folder.checkpoint(shard, DEAD)}/{task}", f"{path}/{task}")

    def leave(self, shard: str, attempt: int) -> bool:
        """Before dead letters are committed: False if another attempt goes on with the work. Raises OSError.

        Its paths are gone, and nothing that failed for that may end the shard.
        """
        own, left = self._folder.checkpoint(shard, attempt), self._folder.checkpoint(shard, DEAD)
        try:
            try:
                self._filesystem.rename(own, left)
            except FileExistsError:  # of an attempt that took its work for the last one, and was not
                self._filesystem.discard(left, self._trash)
                self._filesystem.rename(own, left)
        except FileNotFoundError:
            return False
        failpoint("checkpoint.left")
        return True

    def done(self, shard: str, attempt: int, dead: Collection[str]) -> None:
        """Remove them, all but those of dead letters: the shard is committed. Raises OSError."""
        failpoint("checkpoint.before_removal")
        if not dead:
            return self._filesystem.discard(self._folder.checkpoint(shard, attempt), self._trash)
        left = self._folder.checkpoint(shard, DEAD)
        for task in self._filesystem.names(left):
            if task not in dead:
                self._filesystem.discard(f"{left}/{task}", self._trash)

    def state(self, shard: str) -> str:
        """Another text once a checkpoint of the shard was written, and while there is none, nothing.

        Of names, sizes and stamps, as a listing has them: whatever is read.
        """
        path = self.newest(shard)
        found: list[tuple[object, ...]] = []
        with suppress(FileNotFoundError):  # a program of an attempt that is over may still be at work
            sizes = self._filesystem.sizes(path) if path else {}
            files = sorted(name for name in sizes if os.path.basename(name) != METRICS)
            found = [(name, sizes[name], self._filesystem.stamp(f"{path}/{name}")) for name in files]
        return content_id(found) if found else ""

    def newest(self, shard: str) -> str:
        """The folder that the latest attempt has taken, as a listing has it; empty where there is none."""
        numbers = numbers_of(shard, self._filesystem.names(self._folder.checkpoints(fan_of(shard))))
        return self._folder.checkpoint(shard, max(numbers)) if numbers else ""


def numbers_of(shard: str, names: Iterable[str]) -> list[int]:
    """The attempts of a shard whose folders are among these names. Pure."""
    split = (name.rpartition(".") for name in names)
    return [int(number) for found, _, number in split if found == shard and number.isdigit()]
