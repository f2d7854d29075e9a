"""Stages that take results out of the store: a record beside each item, a manifest of triplets."""

from __future__ import annotations

import json
import os
from typing import Any, Literal

from hpcurate import FileTask, Resources, Stage
from hpcurate.errors import ConfigError
from hpcurate.source import GroupTask
from hpcurate.store.rows import codec
from stages.publish import publish_bytes

SMALL = Resources(cpus=1, memory="1GB", time="30m")


class WriteJson(Stage[FileTask, FileTask]):
    """Write each file's record under `output`, by its path relative to the input."""

    version = 1
    publishes = True
    resources = SMALL
    batch_size = 100
    small_batches = True

    def __init__(self, output: str, layout: Literal["beside", "folder"] = "beside") -> None:
        """Set where to write.

        Args:
            output: folder, made if missing; the input's own folder puts each record beside its file.
            layout: `beside` writes `a/b.mp4.json`, `folder` writes `a/b/record.json`.
        """
        self.output, self.layout = output, layout

    def process(self, tasks: list[FileTask]) -> list[FileTask]:
        """The same tasks, written."""
        for task in tasks:
            line = codec(FileTask).encode(task) + b"\n"
            publish_bytes(line, record_path(self.output, task.source, self.layout))
        return tasks


def record_path(output: str, source: str, layout: str) -> str:
    """Where an item's record lies. Pure."""
    if layout == "folder":
        return os.path.join(output, os.path.splitext(source)[0], "record.json")
    return os.path.join(output, f"{source}.json")


class ExportTriplets(Stage[GroupTask, GroupTask]):
    """Write all items of several files into one JSONL file, sorted; `hpcurate.source.Triplets` reads it."""

    version = 1
    publishes = True
    resources = SMALL
    gather = True

    def __init__(self, output: str) -> None:
        """Set where to write.

        Args:
            output: the JSONL file; its folder is made if missing.
        """
        if not output.endswith(".jsonl"):
            raise ConfigError(f"output: {output}: expected the path of a .jsonl file")
        self.output = output

    def process(self, tasks: list[GroupTask]) -> list[GroupTask]:
        """The same tasks, written."""
        ordered = sorted(tasks, key=lambda task: task.source)
        publish_bytes(b"".join(triplet_line(task) for task in ordered), self.output)
        return tasks


def triplet_line(task: GroupTask) -> bytes:
    """One line: what the item is called, what it weighs, a path a member. Pure."""
    row: dict[str, Any] = {"source": task.source, "weight": task.weight, **task.files}
    return json.dumps(row, ensure_ascii=True).encode() + b"\n"
