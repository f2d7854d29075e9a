"""Stages that take what came in out of the store: a record beside each file, a manifest of files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import attrs

from hpcurate import File, FileTask, Stage, Task
from hpcurate.errors import ConfigError, PipelineError, StageError
from hpcurate.fields import suggestion
from hpcurate.inside import file_of
from hpcurate.objects.address import is_remote
from hpcurate.store.rows import codec
from stages.output_fields import every_entry
from stages.output_types import is_file
from stages.publish import publish_bytes, publish_file
from stages.results.items import SMALL, Layout, record_name
from stages.results.jsonl import FILES
from stages.results.names import PATTERN, check_known, check_pattern, checked_path, named
from stages.results.records import suffix_of

INPUT = "input"
"""The member that is the input file itself, as Kagurazaka calls it."""
SHOWN = 3
"""Incomplete items that a message names."""
Member = str | File
Form = Literal["paths", "triplets"]


class WriteJson(Stage[FileTask, FileTask]):
    """Write each file's row under `output`, by its path relative to the input.

    For tasks of any class there is `stages.results.items.WriteItems`.
    """

    version = 1
    publishes = True
    resources = SMALL
    batch_size = 100
    small_batches = True
    source_files = ()

    def __init__(self, output: str, layout: Layout = "beside") -> None:
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


def record_path(output: str, source: str, layout: Layout) -> str:
    """Where an item's record lies. Pure."""
    name = os.path.splitext(source)[0] if layout == "folder" else source
    return os.path.join(output, record_name(name, layout))


class ExportTriplets(Stage[Task, Task]):
    """Write the files of all tasks into one JSONL file, sorted: a path for each member, or Kagurazaka's file triplet.

    `hpcurate.source.Triplets` reads it, and `FileTriplets` and Kagurazaka's `InputFromFileTripletJsonl` that with
    triplets of one member, `input`. Tasks may be of any class with a path or files; files that stages have made are
    published below `files/` beside the manifest.
    """

    version = 1
    publishes = True
    resources = SMALL
    gather = True
    source_files = ()

    def __init__(
        self,
        output: str,
        form: Form = "paths",
        members: dict[str, str] | None = None,
        missing: Literal["error", "skip"] = "error",
        name: str = PATTERN,
    ) -> None:
        """Set where to write.

        Args:
            output: the JSONL file; its folder is made if missing.
            form: `paths` writes `{"source": …, "weight": …, "video": "/data/a.mp4"}`, `triplets`
                `{"video": {"path": …, "rel_dir": …, "file_name": …}}`.
            members: member → field of the task, or member of a group; default: the members of a group, else `input` for
                the task's `path`, and each field with a file under its own name.
            missing: an item that lacks a file: `error`, or `skip`, which drops it.
            name: `source` of a line, as for `stages.results.items.WriteItems`; several of one item need a name each.
        """
        if not output.endswith(".jsonl"):
            raise ConfigError(f"output: {output}: expected the path of a .jsonl file")
        self.output, self.form, self.members, self.missing = output, form, members, missing
        self.name = check_pattern(name)

    def accept(self, given: type[Task]) -> None:
        """Refuse a class that has not these files, or none."""
        check_known(self.name, given)
        fields = attrs.fields_dict(given)
        for field in () if "files" in fields else (self.members or {}).values():
            if field not in fields:
                raise PipelineError(
                    f"members: {given.__qualname__} has no field {field!r}; {suggestion(field, fields)}"
                )
        if not self.members and not {"files", "path"} & fields.keys() and not file_fields(given):
            raise PipelineError(f"{given.__qualname__} has no files; name the fields that hold paths: members={{…}}")

    def would_write(self, item: str) -> Sequence[str]:
        """The one file."""
        return [self.output]

    def process(self, tasks: list[Task]) -> list[Task]:
        """The same tasks, written; without those that lack a file."""
        items = [(named(task, self.name), task, members_of(task, self.members)) for task in tasks]
        lacking = {task.id: lack for _, task, members in items if (lack := lacks(members))}
        self._refuse(lacking, [(name, task) for name, task, _ in items if task.id in lacking])
        kept = sorted((one for one in items if one[1].id not in lacking), key=lambda one: (one[0], one[1].id))
        check_names([(name, task.id) for name, task, _ in kept])
        lines = [self._line(name, task, members) for name, task, members in kept]
        publish_bytes(b"".join(lines), self.output)
        return [task for task in tasks if task.id not in lacking]

    def _refuse(self, lacking: Mapping[str, str], items: Sequence[tuple[str, Task]]) -> None:
        """Raise StageError naming the first items that lack something, or drop them all."""
        if lacking and self.missing == "error":
            some = "; ".join(f"{name!a} lacks {lacking[task.id]}" for name, task in items[:SHOWN])
            raise StageError(f"{len(items)} incomplete: {some}; complete them, or missing=skip")
        for _, task in items:
            self.drop(task, f"lacks {lacking[task.id]}")

    def _line(self, name: str, task: Task, members: Mapping[str, Member | None]) -> bytes:
        """One line; files that stages have made are published."""
        folder, paths = os.path.dirname(absolute(self.output)), dict[str, Any]()
        for member, found in members.items():
            own, rel_dir = str(found), "." if os.path.isabs(name) else os.path.dirname(name) or "."
            if isinstance(found, File):
                own, rel_dir = checked_path(f"{FILES}/{task.id}.{member}{suffix_of(found)}"), "."
                own = os.path.join(folder, own)
                publish_file(os.fspath(found), own)
            paths[member] = own if self.form == "paths" else triplet(own, rel_dir)
        head = {"source": name, "weight": task.weight} if self.form == "paths" else {}
        return json.dumps({**head, **paths}, ensure_ascii=True).encode() + b"\n"


def triplet(path: str, rel_dir: str) -> dict[str, str]:
    """Kagurazaka's `FileTriplet` of a file in this folder of the input. Pure."""
    return {"path": path, "rel_dir": rel_dir, "file_name": os.path.basename(path)}


def absolute(output: str) -> str:
    """Whoever reads a list does so from another folder. An address (`s3://…`) is absolute."""
    return output if is_remote(output) else os.path.abspath(output)


def file_fields(kind: Any) -> list[str]:
    """Fields of a class that hold a file."""
    return [entry.field for entry in every_entry(kind) if is_file(entry.type) and entry.field]


def members_of(task: Task, wanted: Mapping[str, str] | None) -> dict[str, Member | None]:
    """Member → its path or file; None for what the task lacks. Pure."""
    group = getattr(task, "files", None)
    group = group if isinstance(group, Mapping) else {}
    if wanted:
        return {member: group.get(field, getattr(task, field, None)) for member, field in wanted.items()}
    own: dict[str, Member | None] = dict(group)
    if not group and isinstance(getattr(task, "path", None), str):
        own[INPUT] = task.path  # type: ignore[attr-defined]
    return {**own, **{field: getattr(task, field) for field in file_fields(type(task))}}


def lacks(members: Mapping[str, Member | None]) -> str:
    """Names of members that are not there; empty if none."""
    return ", ".join(name for name, found in members.items() if found is None or not _is_there(found))


def check_names(names: Iterable[tuple[str, str]]) -> None:
    """Raise StageError for two tasks of one name, which would be one item when they are read. Pure."""
    owners: dict[str, str] = {}
    for name, task_id in names:
        if name in owners:
            raise StageError(
                f"{name!a} is what task {owners[name]} and task {task_id} are called; give each a name of its own: "
                "name='{relative}.{id}'"
            )
        owners[name] = task_id


def _is_there(found: Member) -> bool:
    """An address of elsewhere (`s3://…`) is believed."""
    path = os.fspath(found)
    return is_remote(path) or os.path.exists(file_of(path))
