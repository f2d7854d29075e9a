"""One stage's folder as the engine uses it: lists, claims, commits and rounds over one filesystem."""

from __future__ import annotations

from functools import cached_property

from hpcurate.store.checkpoints import Checkpoints
from hpcurate.store.claims import Claims
from hpcurate.store.commits import Commits
from hpcurate.store.filesystem import Filesystem
from hpcurate.store.freed import Freed
from hpcurate.store.layout import StageFolder
from hpcurate.store.lists import Lists
from hpcurate.store.rounds import Rounds
from hpcurate.store.uses import Uses


class StageStore:
    """Binds a filesystem and a stage's folder."""

    def __init__(self, filesystem: Filesystem, folder: StageFolder, trash: str) -> None:
        self.filesystem, self.folder, self._trash = filesystem, folder, trash

    @cached_property
    def lists(self) -> Lists:
        """What its shards are."""
        return Lists(self.filesystem, self.folder)

    @cached_property
    def claims(self) -> Claims:
        """Who works on what."""
        return Claims(self.filesystem, self.folder)

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """What its unfinished tasks have reached."""
        return Checkpoints(self.filesystem, self.folder, self._trash)

    @cached_property
    def commits(self) -> Commits:
        """What is done."""
        return Commits(self.filesystem, self.folder, self._trash)

    @cached_property
    def rounds(self) -> Rounds:
        """What was submitted."""
        return Rounds(self.filesystem, self.folder)

    @cached_property
    def uses(self) -> Uses:
        """Who needs the files of its shards."""
        return Uses(self.filesystem, self.folder)

    @cached_property
    def freed(self) -> Freed:
        """Files that were given up."""
        return self.commits.freed

    def wanted_by(self) -> list[str]:
        """Runs that refer to the stage."""
        return [name for name in self.filesystem.names(self.folder.wanted) if not name.startswith(".")]
