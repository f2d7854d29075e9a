"""Exact duplicates: of tasks with one digest, one is kept."""

from __future__ import annotations

from functools import cached_property

from hpcurate import GroupStage, Resources, Task, WorkerInfo
from hpcurate.spec import InputFile
from stages.dedup.keep import Keep, best, check_fields, name_of
from stages.dedup.kept import check_lists, earlier_digests


class ExactDuplicates(GroupStage[Task, Task]):
    """Keep one task of each `digest`; the others are dropped, and the drop names the one that is kept.

    Tasks are of any class with a field `digest` (`stages.dedup.digests` makes it), and pass on unchanged.
    """

    group_by = "digest"
    resources = Resources(cpus=1, memory="2GB", time="1h")
    version = 1

    def __init__(self, keep: Keep = "first", against: list[InputFile] | None = None) -> None:
        """Set which one is kept.

        Args:
            keep: `first` by its source, or its id where it has none; `newest` or `oldest` by the file's time; the
                `longest` text. Of equals the first.
            against: lists that earlier runs have published (`dedup/kept.parquet`): what equals one of theirs is
                dropped. All their digests are in memory, about 150 bytes each.
        """
        self.keep: Keep = keep
        self.against = against or []
        check_lists(self.against)

    def accept(self, given: type[Task]) -> None:
        """Refuse tasks without what is compared."""
        check_fields(given, self.keep, "digest")

    @cached_property
    def _earlier(self) -> dict[str, str]:
        return earlier_digests(self.against)

    def setup(self, worker: WorkerInfo) -> None:
        """Read the earlier lists."""
        assert self._earlier is not None

    def process_group(self, key: str, tasks: list[Task]) -> list[Task]:
        """The one that is kept; none if an earlier run kept one."""
        if key in self._earlier:
            for task in tasks:
                self.drop(task, "same content as one of an earlier run", value=self._earlier[key], measure="twin")
            return []
        kept = best(tasks, self.keep)
        for number, task in enumerate(tasks):
            if number != kept:
                self.drop(task, "same content as another", value=name_of(tasks[kept]), measure="twin")
        return [tasks[kept]]
