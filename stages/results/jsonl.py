"""All results as one file of JSON lines, with their files in a folder beside it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from hpcurate import Resources, Stage, Task
from hpcurate.errors import ConfigError, StageError
from stages.publish import publish_bytes
from stages.results.items import publish_whole
from stages.results.names import check_known, check_pattern, item_name
from stages.results.records import Written, check_once, check_written, written

FILES = "files"
"""Folder of the files, beside the JSON lines."""


class WriteJsonl(Stage[Task, Task]):
    """Write all tasks as one JSONL file under `output`, a line each in the order of the input, and their files.

    Tasks may be of any class: what is written of one is said in `stages.output_fields`. The file is replaced as a
    whole, after the files that it names are there.
    """

    version = 1
    publishes = True
    gather = True
    resources = Resources(cpus=1, memory="4GB", time="1h")

    def __init__(self, output: str, manifest: str = "results.jsonl", name: str = "{id}") -> None:
        """Set where to write.

        Args:
            output: folder, made if missing.
            manifest: name of the JSONL file in it.
            name: of a task's files below `files/`, as for `stages.results.items.WriteItems`.
        """
        if not manifest.endswith(".jsonl") or "/" in manifest:
            raise ConfigError(f"manifest: {manifest}: expected a name such as results.jsonl")
        self.output, self.manifest, self.name = output, manifest, check_pattern(name)

    def accept(self, given: type[Task]) -> None:
        """Refuse a class that cannot be written, or has not what the name is made of."""
        check_written(given)
        check_known(self.name, given)

    def would_write(self, item: str) -> Sequence[str]:
        """The one file."""
        return [os.path.join(self.output, self.manifest)]

    def process(self, tasks: list[Task]) -> list[Task]:
        """The same tasks, written."""
        check_apart(line_of(task, self.name) for task in tasks)
        lines = []
        for item in (line_of(task, self.name) for task in tasks):  # twice: memory holds their lines alone
            for file, path in item.files:
                publish_whole(file, os.path.join(self.output, path))
            lines.append(item.line())
        publish_bytes(b"".join(lines), os.path.join(self.output, self.manifest))
        return tasks


def line_of(task: Task, pattern: str) -> Written:
    """A line and its files; only what has files needs a name. Raises StageError. Pure."""
    return written(task, lambda label: f"{FILES}/{item_name(task, pattern)}.{label}", "")


def check_apart(items: Iterable[Written]) -> None:
    """Raise StageError, naming both tasks, if files of two tasks would have one path. Pure."""
    owners: dict[str, str] = {}
    for item in items:
        check_once((path for _, path in item.files), str(item.fields["id"]))
        for _, path in item.files:
            one = str(item.fields["id"])
            if owners.setdefault(path, one) != one:
                raise StageError(
                    f"{path!a} would be a file of task {owners[path]} and of task {one}; give each task a name of its "
                    "own: name='{id}'"
                )
