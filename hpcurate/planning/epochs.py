"""Epochs: `rerun=STAGE` makes a stage, and so everything after it, new although nothing about it changed.

`<store>/stages/.epochs/<stage>-<fp12>.<n>` means that the stage with this fingerprint was asked to be done again
n times. Every later run of the store means the latest epoch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from hpcurate.errors import ConfigError
from hpcurate.store.filesystem import POSIX, Filesystem
from hpcurate.store.layout import Store


class Epochs:
    """The epochs of one store as one call sees them; those that `rerun` raises are written by `record`."""

    def __init__(self, root: str, rerun: Iterable[str] = (), filesystem: Filesystem = POSIX) -> None:
        self._filesystem = filesystem
        self._folder = os.path.join(Store.at(root).stages, ".epochs")
        self._rerun = frozenset(rerun)
        self._latest = latest_epochs(filesystem.names(self._folder))
        self._raised: dict[str, int] = {}

    def __call__(self, stage: str, fingerprint: str) -> int:
        """Epoch of the stage that has this fingerprint in epoch 0."""
        key = f"{stage}-{fingerprint[:12]}"
        epoch = self._latest.get(key, 0)
        if stage not in self._rerun:
            return epoch
        self._raised[key] = epoch + 1
        return epoch + 1

    def check(self, stages: Iterable[str]) -> None:
        """Raise ConfigError for a `rerun` of no stage of the pipeline."""
        from hpcurate.fields import suggestion

        names = list(stages)
        for name in sorted(self._rerun.difference(names)):
            raise ConfigError(f"rerun={name}: there is no such stage; {suggestion(name, names)}")

    def record(self) -> None:
        """Write the raised epochs down. Two calls that raise the same epoch at once share it."""
        for key, epoch in self._raised.items():
            self._filesystem.make_folders(self._folder)
            self._filesystem.create(os.path.join(self._folder, f"{key}.{epoch}"), b"")


def latest_epochs(names: Iterable[str]) -> dict[str, int]:
    """`<stage>-<fp12>` → its highest epoch, from the names of the marker files. Pure."""
    latest: dict[str, int] = {}
    for name in names:
        key, _, number = name.rpartition(".")
        if key and number.isdigit():
            latest[key] = max(latest.get(key, 0), int(number))
    return latest
