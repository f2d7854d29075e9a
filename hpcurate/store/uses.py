"""Who needs the files of a stage's shards, and when they are given up: one log for all runs, in one order.

`uses/0001`, `uses/0002`, … are each created exclusively. A run that begins writes that it needs the files; one that
keeps only results writes later that rows are enough. Who finds that rows are enough for all decides that the files of
these shards are freed: in the same log, so that a run which begins stands either before the decision, and prevents it,
or after it, and knows. `uses/<n>.done` says that decision n is carried out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import msgspec

from hpcurate.store.filesystem import Filesystem
from hpcurate.store.layout import StageFolder
from hpcurate.system.failpoints import failpoint

__all__ = ["FILES", "FREE", "ROWS", "Use", "Uses", "decision"]

FILES, ROWS, FREE = "files", "rows", "free"


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """One entry."""

    run: str = ""
    use: str = ""
    """`files`: the run needs them; `rows`: rows are enough for it; `free`: the decision. Empty: it cannot be read."""
    lists: tuple[str, ...] = ()
    """Of the run's live set; of a decision: whose shards lose their files."""
    kept: tuple[str, ...] = ()
    """Shards of these whose files stay: dead letters were made of them, which may be retried."""


def decision(
    entries: Sequence[Use], wanted: Iterable[str], there: Callable[[str], bool], *, again: bool = False
) -> Use | None:
    """What may be freed by these entries, if it is more than was decided before; None where somebody needs files.

    `wanted`: runs that have a mark at the stage; one without an entry is of an earlier release. A run that is not
    `there` any more needs nothing. `again`: files were made again since. Pure but for `there`.
    """
    latest = {entry.run: entry for entry in entries if entry.use != FREE}
    users = {run: entry for run, entry in latest.items() if not run or there(run)}
    if any(entry.use != ROWS for entry in users.values()) or any(there(run) for run in set(wanted) - latest.keys()):
        return None
    lists = {name for entry in users.values() for name in entry.lists}
    kept = {shard for entry in users.values() for shard in entry.kept}
    before = [entry for entry in entries if entry.use == FREE]
    decided = {name for entry in before for name in entry.lists}
    loosened = any(set(entry.kept) - kept for entry in before[-1:])
    if not users or (lists <= decided and not again and not loosened):
        return None
    return Use(use=FREE, lists=tuple(sorted(lists)), kept=tuple(sorted(kept)))


class Uses:
    """The log of one stage."""

    def __init__(self, filesystem: Filesystem, folder: StageFolder) -> None:
        self._filesystem, self._folder = filesystem, folder
        self._read: list[Use] = []
        """Entries that can be read stay as they are."""

    def read(self) -> tuple[Use, ...]:
        """All, in order: each is opened, not looked for in a listing."""
        found = list(self._read)
        while (data := self._data(len(found) + 1)) is not None:
            found.append(_use(data))
        whole = next((n for n, entry in enumerate(found) if not entry.use), len(found))
        self._read = found[:whole]
        return tuple(found)

    def add(self, choose: Callable[[tuple[Use, ...]], Use | None]) -> int:
        """Write the entry that is chosen in the light of all before it; its number, 0 where none is."""
        while True:
            entries = self.read()
            entry = choose(entries)
            if entry is None:
                return 0
            self._filesystem.make_folders(self._folder.uses)
            data = json.dumps(msgspec.to_builtins(entry)).encode() + b"\n"
            if self._filesystem.create(self._folder.use(len(entries) + 1), data):
                failpoint("free.use")
                return len(entries) + 1
            if len(self.read()) <= len(entries):  # another's, which this host cannot see yet
                raise OSError(11, "was made by another host and cannot be read here yet", self._folder.uses)

    def mark_done(self, number: int) -> None:
        """Write down that a decision is carried out."""
        self._filesystem.create(f"{self._folder.use(number)}.done", b"")

    def open_decisions(self) -> dict[int, Use]:
        """Those of which nobody has written down that they are carried out."""
        decided = {n: entry for n, entry in enumerate(self.read(), start=1) if entry.use == FREE}
        done = set(self._filesystem.names(self._folder.uses)) if decided else set()
        return {number: entry for number, entry in decided.items() if f"{number:04d}.done" not in done}

    def _data(self, number: int) -> bytes | None:
        with suppress(FileNotFoundError):
            return self._filesystem.read(self._folder.use(number))
        return None


def _use(data: bytes) -> Use:
    """An entry; one without a use where it cannot be read, which frees nothing. Pure."""
    with suppress(ValueError, msgspec.MsgspecError):
        return msgspec.convert(json.loads(data), Use)
    return Use()
