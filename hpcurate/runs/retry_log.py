"""What the calls of a run have retried: a file for each, made once, in the order in which they were typed.

`pipeline.json` says it, too. But each call replaces that: of two at once one has not read what the other writes.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress

import msgspec

from hpcurate.store.filesystem import Filesystem

__all__ = ["Retried", "RetryLog"]


class Retried(msgspec.Struct, frozen=True):
    """See the fields of the same names of `Frozen`."""

    retries: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    tried: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)


class RetryLog(msgspec.Struct, frozen=True):
    """The files in one folder."""

    folder: str
    filesystem: Filesystem

    def read(self) -> list[Retried]:
        """All of them, opened one by one: a listing may be older. Raises OSError.

        One without content is being made by a call that has not begun to work, or died before it did.
        """
        found: list[Retried] = []
        with suppress(FileNotFoundError):
            while True:
                data = self.filesystem.read(self._file(len(found) + 1))
                found.append(msgspec.convert(json.loads(data), Retried) if data else Retried())
        return found

    def add(self, retried: Retried) -> None:
        """After all others. A number that is taken is known from then on, also to a client that missed it before."""
        self.filesystem.make_folders(self.folder)
        data, number = json.dumps(msgspec.to_builtins(retried)).encode() + b"\n", len(self.read()) + 1
        while not self.filesystem.create(self._file(number), data):
            number += 1

    def _file(self, number: int) -> str:
        return os.path.join(self.folder, f"{number:04d}.json")
