"""A record for each task, with its files: beside where the item lies in the input, or in a folder of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs

from hpcurate import Record, Resources, Stage, Task
from hpcurate.errors import PipelineError, StageError
from hpcurate.inside import file_of
from hpcurate.objects.address import is_remote
from stages.publish import publish_bytes, publish_file, published
from stages.results.names import PATTERN, check_known, check_pattern, checked_path, item_name, likely_name
from stages.results.records import ID, Source, Written, check_once, check_written, written

Layout = Literal["beside", "folder"]
Others = Literal["refuse", "replace"]
SMALL = Resources(cpus=1, memory="1GB", time="30m")
RECORD = "record.json"
"""In the folder of an item."""


class WriteItems(Stage[Task, Task]):
    """Write a record of each task under `output`, and its files beside it; publishing the same again changes nothing.

    Tasks may be of any class: what is written of one is said in `stages.output_fields`. The record comes last, so where
    it is, the files are; `done=` with the same pattern sees it.
    """

    version = 1
    publishes = True
    resources = SMALL
    batch_size = 100
    small_batches = True

    def __init__(
        self,
        output: str,
        layout: Layout = "beside",
        name: str = PATTERN,
        others: Others = "refuse",
        input_files: bool = False,
    ) -> None:
        """Set where to write.

        Args:
            output: folder, made if missing; the input's own folder puts each record beside its file.
            layout: `beside` writes `a/b.mp4.json` and `a/b.mp4.<field>.<suffix>`, `folder` writes `a/b.mp4/record.json`
                and `a/b.mp4/<field>.<suffix>`.
            name: of a result, from fields of its task, and {relative}, {parent}, {name}, {stem} and {id} as in `done=`.
                Several results of one item need a name each, e.g. {relative}.{id}.
            others: where a result would lie there is already that of another task, or no result at all: refuse the
                task, or replace what is there.
            input_files: the item's own files are there, too: `a/b.mp4` itself, or all members of a group.
        """
        self.output, self.layout, self.name = output, layout, check_pattern(name)
        self.others, self.input_files = others, input_files

    def accept(self, given: type[Task]) -> None:
        """Refuse a class that cannot be written, or has not what the name is made of."""
        check_written(given)
        check_known(self.name, given)
        if self.input_files:
            check_has_files(given)

    def would_write(self, item: str) -> Sequence[str]:
        """The record, and the item's own file."""
        name = likely_name(item, self.name)
        paths = [record_name(name, self.layout), *([name] if self.input_files else [])]
        return [os.path.join(self.output, path) for path in paths]

    def process(self, tasks: list[Task]) -> list[Task]:
        """The same tasks, written."""
        for task in tasks:
            name = self.result_name(task)
            record = record_path(name, self.layout)
            item = item_files(task, name, self.layout, input_files=self.input_files)
            self._check_own(record, task.id)
            publish_written(item, self.output, record)
        return tasks

    def is_executed(self, task: Task) -> bool:
        """For `done=stages.results`: whether there is a record under the name that the result of an item has."""
        return published(os.path.join(self.output, record_path(self.result_name(task), self.layout))) is not None

    def result_name(self, task: Task) -> str:
        """The path of a task's result, relative to the output and without a suffix."""
        return item_name(task, self.name)

    def _check_own(self, record: str, task_id: str) -> None:
        """Raise StageError if another's result has the name: nothing is replaced by chance."""
        path = os.path.join(self.output, record)
        there = self._there(path)
        if there is not None and self.others == "refuse" and (other := id_in(there)) != task_id:
            whose = f"the result of task {other}" if other else "a file that is no result"
            raise StageError(
                f"{path!a} is {whose} already, and would be that of task {task_id}: give each a name of its own "
                "(name='{relative}.{id}'), name another output, or replace what is there (others=replace)"
            )

    def _there(self, path: str) -> bytes | None:
        """The record that is there. Raises StageError where no folder can be: the input itself may be the output."""
        try:
            return published(path)
        except NotADirectoryError:
            raise StageError(
                f"{os.path.dirname(path)!a} is a file or lies in one, so it is no folder of results: give results "
                "another name (name='{parent}/{stem}'), or name another output"
            ) from None


def record_path(name: str, layout: Layout) -> str:
    """Where the record of an item lies, relative to the output. Raises StageError. Pure."""
    return checked_path(record_name(name, layout))


def record_name(name: str, layout: Layout) -> str:
    """What the record of an item is called. Pure."""
    return f"{name}/{RECORD}" if layout == "folder" else f"{name}.json"


def item_files(task: Task, name: str, layout: Layout, *, input_files: bool = False) -> Written:
    """Record and files of a task of that name. Raises StageError. Pure."""
    record = record_path(name, layout)
    between = "/" if layout == "folder" else "."
    item = written(task, lambda label: f"{name}{between}{label}", os.path.dirname(record))
    files = (*item.files, *(came_in(task, name, layout) if input_files else ()))
    check_once((record, *(path for _, path in files)), task.id)
    return Written(item.fields, files)


def check_has_files(kind: type[Task]) -> None:
    """Raise PipelineError for a class whose tasks stand for no file. A `Record` may have any value."""
    if not issubclass(kind, Record) and not {"path", "files"} & set(attrs.fields_dict(kind)):
        raise PipelineError(
            f"input_files=true: a {kind.__qualname__} has no field `path` or `files`, so no input file of its own to "
            "put there; leave input_files out, or read the tasks of the source"
        )


def came_in(task: Task, name: str, layout: Layout) -> list[tuple[str, str]]:
    """The files that a task stands for, each with its path relative to the output. Raises StageError. Pure."""
    group, path = getattr(task, "files", None), getattr(task, "path", None)
    paths: list[Any] = list(group.values()) if isinstance(group, Mapping) and not isinstance(task, Record) else [path]
    for one in paths:
        if not isinstance(one, str) or file_of(one) != one or is_remote(one):
            raise StageError(f"task {task.id} has no file of its own on a filesystem ({one!a:.200}): input_files=false")
    if layout == "folder":
        return [(one, checked_path(f"{name}/{os.path.basename(one)}")) for one in paths]
    suffixes = [os.path.splitext(one)[1] for one in paths]
    return [(one, checked_path(name.removesuffix(end) + end)) for one, end in zip(paths, suffixes, strict=True)]


def publish_written(item: Written, output: str, record: str) -> None:
    """The files, then the record: who sees it sees all."""
    for file, path in item.files:
        publish_whole(file, os.path.join(output, path))
    publish_bytes(item.line(), os.path.join(output, record))


def publish_whole(file: Source, target: str) -> None:
    """A file; or a folder, as a command may make, file by file."""
    source = os.fspath(file)
    if not os.path.isdir(source):
        publish_file(source, target)
        return
    for folder, _, names in os.walk(source):
        for name in names:
            path = os.path.join(folder, name)
            publish_file(path, os.path.join(target, os.path.relpath(path, source)))


def id_in(record: bytes) -> str | None:
    """The id in what may be a record."""
    try:
        found = json.loads(record)
    except ValueError:
        return None
    name = found.get(ID) if isinstance(found, dict) else None
    return name if isinstance(name, str) else None
