"""Results in numbered folders of a bounded size, `0000`, `0001`, …, for tools that take one folder each.

Which item is in which folder is decided once: `lists/000000.jsonl` names the items of the folder 0000, and is never
written again (`stages.shards.numbered`). So a folder that is there gets no further items; what is new gets new folders.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence

from hpcurate import Resources, Stage, Task
from hpcurate.errors import ConfigError, StageError
from stages.results.items import Layout, Others, WriteItems
from stages.results.names import PATTERN, checked_path, item_name
from stages.shards.numbered import Numbered, Packed
from stages.shards.order import key_of, limits, twice
from stages.shards.settings import check_folder

LISTS = "lists"
"""Folder in the output of the lists of items."""
NO_LIMIT = "1000000TB"


class Number(Stage[Task, Task]):
    """Give each task a numbered folder: those that have none yet, in the order of the input, get new ones."""

    version = 1
    publishes = True
    gather = True
    resources = Resources(cpus=1, memory="4GB", time="1h")

    def __init__(self, output: str, items: int = 1000, size: str = "") -> None:
        """Set where the folders are, and how large they may be.

        Args:
            output: folder, made if missing, on a filesystem.
            items: of a folder, at most.
            size: of the items of a folder, at most, by what they amount to in bytes; empty: any.
        """
        self.output, self.limits = check_folder(output), limits(size or NO_LIMIT, items)

    def process(self, tasks: list[Task]) -> list[Task]:
        """The same tasks."""
        if key := twice([key_of(task.id) for task in tasks]):
            raise StageError(f"two tasks are called {key}: a folder has one of each name")
        lists = Numbered(os.path.join(self.output, LISTS), ItemLists(), self.limits)
        lists.open()
        added = lists.pack(tasks)
        self.log("numbered", [{"folders": len(lists.counts), "added": added, "items": len(lists.packed)}])
        return tasks


class WriteNumbered(WriteItems):
    """Write a record of each task and its files into its numbered folder, as `Number` has decided it."""

    version = 1

    def __init__(
        self,
        output: str,
        layout: Layout = "beside",
        name: str = PATTERN,
        others: Others = "refuse",
        input_files: bool = False,
        digits: int = 4,
        inside: str = "",
    ) -> None:
        """Set where to write.

        Args:
            output: the folder that `Number` was given.
            layout: in each folder, as for `stages.results.items.WriteItems`.
            name: of a result, as there.
            others: as there.
            input_files: as there; so the folders have the input itself, in parts.
            digits: of the folders' names, at least.
            inside: folder in each of them, e.g. `input_name` of Kagurazaka's hard shards; empty: none.
        """
        if digits < 1:
            raise ConfigError(f"digits: expected 1 or more, got {digits}")
        super().__init__(check_folder(output), layout, name, others, input_files)
        self.digits, self.inside = digits, checked_inside(inside)
        self._numbers: dict[str, int] = {}
        self._seen: tuple[str, ...] = ()

    def would_write(self, item: str) -> Sequence[str]:
        """As if it were in the first folder."""
        folder = os.path.join(self.output, f"{0:0{self.digits}d}", self.inside)
        return [os.path.join(folder, os.path.relpath(path, self.output)) for path in super().would_write(item)]

    def result_name(self, task: Task) -> str:
        """Below the task's folder. Raises StageError for one that no list has."""
        number = self._number_of(key_of(task.id))
        if number is None:
            raise StageError(f"no list in {os.path.join(self.output, LISTS)} has the task {task.id}: put Number before")
        return "/".join(filter(None, (f"{number:0{self.digits}d}", self.inside, item_name(task, self.name))))

    def is_executed(self, task: Task) -> bool:
        """As there; what has no folder yet is not done."""
        return self._number_of(key_of(task.id)) is not None and super().is_executed(task)

    def _number_of(self, key: str) -> int | None:
        """The folder of an item; lists that were added since are read."""
        if key not in self._numbers and (seen := seen_of(os.path.join(self.output, LISTS))) != self._seen:
            self._numbers, self._seen = numbers_in(os.path.join(self.output, LISTS)), seen
        return self._numbers.get(key)


class ItemLists:
    """Lists of items, as `Numbered` wants them."""

    suffix = ".jsonl"
    overhead = 0

    def key(self, sample: Task) -> str:
        """See `Form`."""
        return key_of(sample.id)

    def item(self, sample: Task) -> tuple[bytes, int]:
        """See `Form`; the size is that of the item."""
        return json.dumps({"key": key_of(sample.id)}).encode() + b"\n", int(sample.amounts().get("bytes", 0))

    def digests(self, samples: Sequence[Task]) -> Iterator[str]:
        """See `Form`."""
        return (_digest(self.item(sample)[0]) for sample in samples)

    def write(self, path: str, items: Iterable[bytes]) -> None:
        """See `Form`."""
        with open(path, "wb") as file:
            file.writelines(items)

    def read(self, path: str) -> Iterator[Packed]:
        """See `Form`."""
        with open(path, "rb") as file:
            for line in file:
                yield Packed(json.loads(line)["key"], _digest(line), {})


def seen_of(folder: str) -> tuple[str, ...]:
    """Names of the lists that are there; none where there is no folder."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return ()
    return tuple(sorted(name for name in names if name.endswith(ItemLists.suffix) and name[0] != "."))


def numbers_in(folder: str) -> dict[str, int]:
    """Key of each item → number of its folder."""
    found: dict[str, int] = {}
    for name in seen_of(folder):
        for packed in ItemLists().read(os.path.join(folder, name)):
            found.setdefault(packed.key, int(name.partition(".")[0]))
    return found


def checked_inside(inside: str) -> str:
    """The same. Raises ConfigError for what leads out of the folder."""
    try:
        return checked_path(inside) if inside else ""
    except StageError as error:
        raise ConfigError(f"inside: {error}") from None


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
