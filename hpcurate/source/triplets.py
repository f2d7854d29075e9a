"""Items that a JSONL file names line by line: a path for each member, or Kagurazaka's file triplets.

A file triplet is `{"path": …, "rel_dir": …, "file_name": …}`: where the file lies, and the two parts of its path
relative to the input (https://pypi.org/project/kagurazaka, `FileTriplet`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, ClassVar

import attrs

from hpcurate.errors import ConfigError
from hpcurate.fields import NEEDED, check_values, option
from hpcurate.source.base import MISSING, GroupTask, Placed, absolute, file_task
from hpcurate.source.tables import json_rows
from hpcurate.task import FileTask, Task, stable_id
from hpcurate.units import plural

TRIPLET = ("path", "rel_dir", "file_name")
"""Keys of a file triplet."""
LINE = ("source", "weight")
"""Keys of a line that are no member."""


@attrs.define(frozen=True)
class Triplets:
    """Items of several files, one JSON object a line: `{"video": "a.mp4", "audio": "a.wav", "json": "a.json"}`.

    A member may also be a file triplet of Kagurazaka. Relative paths start from the manifest's folder. `source` and
    `weight` in a line are taken over. What `stages.files.ExportTriplets` writes is read back as it was.
    """

    path: str = option(NEEDED, "JSONL file, or a glob of several")
    members: tuple[str, ...] = option(
        (), "members each line must have; empty: those of the first line", converter=tuple
    )
    missing: str = option("error", "a line that lacks a member: `error`, or `skip`, which is counted", choices=MISSING)
    check: bool = option(False, "look at each file: one that is not there counts as a member that the line lacks")
    _skipped: list[str] = attrs.field(factory=list, init=False, eq=False)
    task_type: ClassVar[type[Task]] = GroupTask

    def __attrs_post_init__(self) -> None:
        check_values(self, "source")

    def identity(self) -> dict[str, Any]:
        """See `Source`."""
        return {"triplets": absolute(self.path)}

    def tasks(self) -> Iterator[Task]:
        """See `Source`."""
        return (task for _, task in self.placed())

    def placed(self) -> Iterator[Placed]:
        """See `Placed`."""
        self._skipped.clear()
        members, found = self.members, False
        for where, row in json_rows(self.path):
            own = {k: v for k, v in row.items() if k not in LINE}
            members = members or tuple(own)
            lacking = [name for name in members if own.get(name) is None]
            if lacking and self.missing == "skip":
                self._skipped.append(f"{where} lacks {', '.join(lacking)}")
                continue
            if lacking or not own or set(own) != set(members) or None in map(_path, own.values()):
                raise ConfigError(f"{where}: expected a path each for {', '.join(members) or 'its files'}, got {row!a}")
            task = _group(where, row, {name: own[name] for name in members})
            if self._is_there(where, task):
                found = True
                yield where, task
        if not found:
            raise ConfigError(f"input={self.path}: holds no row" + " that is complete" * bool(self._skipped))

    def notes(self) -> list[str]:
        """What was left out."""
        return [f"left out: {plural(len(self._skipped), 'incomplete line')}, e.g. {e!a}" for e in self._skipped[:1]]

    def _is_there(self, where: str, task: GroupTask) -> bool:
        """Whether it has all its files, if they are to be looked at. Raises ConfigError."""
        gone = [f"{name} ({path})" for name, path in task.files.items() if self.check and not os.path.isfile(path)]
        if gone and self.missing == "error":
            raise ConfigError(f"{where}: not there: {', '.join(gone)}; correct the line, or source.missing=skip")
        if gone:
            self._skipped.append(f"{where} lacks {', '.join(gone)}")
        return not gone


@attrs.define(frozen=True)
class FileTriplets:
    """Files, one file triplet of Kagurazaka a line: `{"input": {"path": …, "rel_dir": …, "file_name": …}}`.

    A task is what `Files` makes of the file in that folder: it has the same id. Relative paths start from the
    manifest's folder.
    """

    path: str = option(NEEDED, "JSONL file, or a glob of several")
    field: str = option("input", "key of a line that has the triplet")
    missing: str = option("error", "a file that is not there: `error`, or `skip`, which is counted", choices=MISSING)
    _skipped: list[str] = attrs.field(factory=list, init=False, eq=False)
    task_type: ClassVar[type[Task]] = FileTask

    def __attrs_post_init__(self) -> None:
        check_values(self, "source")

    def identity(self) -> dict[str, Any]:
        """See `Source`."""
        return {"file_triplets": absolute(self.path), "field": self.field}

    def tasks(self) -> Iterator[Task]:
        """See `Source`."""
        return (task for _, task in self.placed())

    def placed(self) -> Iterator[Placed]:
        """See `Placed`."""
        self._skipped.clear()
        found = False
        for where, row in json_rows(self.path):
            triplet = row.get(self.field)
            if not isinstance(triplet, dict) or _path(triplet) is None:
                raise ConfigError(f"{where}: expected {self.field!r} with {', '.join(TRIPLET)}, got {row!a:.200}")
            path = os.path.normpath(_absolute(where, triplet["path"]))  # theirs is in/./a.mp4
            if os.path.isfile(path):
                found = True
                yield where, file_task(_relative(triplet), path, os.stat(path))
            elif self.missing == "skip":
                self._skipped.append(path)
            else:
                raise ConfigError(f"{where}: {path}: not there; correct the line, or source.missing=skip")
        if not found:
            raise ConfigError(f"input={self.path}: names no file")

    def notes(self) -> list[str]:
        """What was left out."""
        return [f"not there: {plural(len(self._skipped), 'file')} of the list, e.g. {e!a}" for e in self._skipped[:1]]


def _group(where: str, row: dict[str, Any], members: dict[str, Any]) -> GroupTask:
    first = next(iter(members.values()))
    source = str(row.get("source") or os.path.splitext(_relative(first))[0])
    weight = row.get("weight")
    if isinstance(weight, bool) or not isinstance(weight, (int, float, type(None))):
        raise ConfigError(f"{where}: weight={weight!a}: expected a number")
    return GroupTask(
        id=stable_id("group", source),
        source=source,
        files={name: _absolute(where, str(_path(member))) for name, member in members.items()},
        weight=1.0 if weight is None else float(weight),
    )


def _path(member: Any) -> str | None:
    """The path of a member, which is one or a file triplet; None for anything else. Pure."""
    if isinstance(member, dict) and set(member) == set(TRIPLET):
        return member["path"] if all(isinstance(part, str) for part in member.values()) else None
    return member if isinstance(member, str) else None


def _relative(member: Any) -> str:
    """Path of a member relative to the input, as far as the line has it. Pure."""
    if isinstance(member, dict):
        return os.path.normpath(os.path.join(member["rel_dir"], member["file_name"]))
    return str(member)


def _absolute(where: str, path: str) -> str:
    return os.path.join(os.path.dirname(where.rpartition(":")[0]), path)
