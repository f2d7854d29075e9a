"""Training shards of rows: texts, or tasks of any class, as Parquet or JSON lines."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from hpcurate import Resources
from hpcurate.task import Task
from stages.shards.bins import part_of
from stages.shards.order import check_parts, limits, shuffled
from stages.shards.packing import Changed, Packing, check_ids
from stages.shards.rows import FORMS, columns
from stages.shards.settings import check_folder


class TextShards(Packing[Task, Task]):
    """Pack each task's fields as a row: its id, and all that are not `internal()`, typed as the class declares them.

    The order is a hash of seed and id: the same input gives the same bytes. What is packed already stays as it is; what
    is new gets files with the next numbers.
    """

    resources = Resources(cpus=1, memory="16GB", time="4h")
    version = 1

    def __init__(
        self,
        output: str,
        format: Literal["parquet", "jsonl"] = "parquet",
        parts: int = 1,
        seed: int = 0,
        size: str = "500MB",
        samples: int = 1_000_000,
        changed: Changed = "refuse",
    ) -> None:
        """Set where to pack, and how.

        Args:
            output: folder, made if missing. It keeps the settings that it was begun with, and refuses others.
            format: Parquet, compressed with zstd, or plain JSON lines.
            parts: folders that the rows are split into, by a hash of the ids: so many workers can pack at once, and one
                has so many fewer rows in memory.
            seed: of the order.
            size: of the rows of a file as JSON, at most; `datasets` makes files of 500 MB.
            samples: rows of a file, at most.
            changed: rows that are packed, and whose fields are others now: refuse them, or keep what is packed.
        """
        self.output, self.format, self.parts, self.seed = check_folder(output), format, check_parts(parts), seed
        self.limits, self.changed = limits(size, samples), changed

    def accept(self, given: type[Task]) -> None:
        """Refuse a class that cannot be written."""
        columns(given, "parquet")

    def settings(self) -> dict[str, Any]:
        """See `Packing`."""
        own = {"parts": self.parts, "seed": self.seed, "kind": self.format, "format": 1}
        return {**own, **attrs.asdict(self.limits)}

    def key(self, task: Task) -> str:
        """The part that it belongs to, or `all`."""
        return part_of(task.id, self.parts) or "all"

    def process_group(self, key: str, tasks: list[Task]) -> list[Task]:
        """The same tasks, packed."""
        check_ids(tasks)
        form = FORMS[self.format](self.task_types[0])
        self.pack(key if self.parts > 1 else "", form, shuffled(tasks, self.seed))
        return tasks
