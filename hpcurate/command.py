"""A program as a stage: a list of arguments with places for a task's fields, and files and values that it writes.

This module runs in every stage environment: Python 3.9 or newer, attrs, msgspec and the standard library only.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from types import TracebackType
from typing import Any, Optional

import attrs
import msgspec

from hpcurate.errors import BadValues, ConfigError, OutputMissing, ProgramFailed, StageError
from hpcurate.fields import suggestion
from hpcurate.placeholders import filled, names_in
from hpcurate.secrets import SYMBOL
from hpcurate.spec import coerce_parameters
from hpcurate.stage import Stage, WorkerInfo
from hpcurate.stage_process.program import run_program, shown
from hpcurate.task import File, Record, Task

__all__ = ["OWN", "TYPES", "Command", "task_names"]

OWN = {
    "values": "a file where the program writes one JSON object with the declared values",
    "cpus": "cores that it may use",
    "gpus": "GPUs that it may use",
    "scratch": "an empty folder on the node's own disk, the current one, removed afterwards",
}
"""Placeholders that are no name of a task: each with what stands for it."""
TYPES = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "dict": dict}
"""Types of values."""
_BASE = frozenset(field.name for field in attrs.fields(Task))


class Command(Stage[Task, Task]):
    """Runs a program for each task, from a list of arguments: never a shell.

    `argv=["ffmpeg", "-i", "{path}", "{out.clip}"]`, `outputs={"clip": "clip.mp4"}`: a task's fields stand in braces,
    `{out.NAME}` is the path where the program writes that output, and `{values}` one where it writes a JSON object with
    the declared `values`. With either it returns a `Record`, else the task that came in. It runs in an empty folder.
    Exit code 0: done; one of `drop_on`: the task is dropped; another: it fails (`ProgramFailed`). With `gather` it runs
    once for all tasks of the run, and a name is that which they agree on.
    """

    version = 1

    def __init__(
        self,
        argv: Any,
        outputs: Optional[dict[str, str]] = None,
        values: Optional[dict[str, str]] = None,
        drop_on: Optional[list[int]] = None,
        gather: bool = False,
        variables: Optional[dict[str, Any]] = None,
    ) -> None:
        given = coerce_parameters(type(self), self._arguments)
        self.argv = _checked_argv(given["argv"])
        self.outputs: dict[str, str] = given.get("outputs") or {}
        self.values: dict[str, str] = given.get("values") or {}
        self.drop_on = frozenset(given.get("drop_on") or ())
        self.variables = {name: _text(name, value) for name, value in (given.get("variables") or {}).items()}
        self.gather = given.get("gather", False)  # type: ignore[misc]
        self._check()
        self._worker = WorkerInfo(index=0, process=0, cpus=1)

    def arguments(self) -> dict[str, Any]:
        """See `Stage`. What is empty was not given."""
        return {name: value for name, value in super().arguments().items() if value or name == "argv"}

    def gives(self, given: type[Task]) -> type[Task]:
        """See `Stage`."""
        return Record if self.outputs or self.values else given

    def setup(self, worker: WorkerInfo) -> None:
        """See `Stage`."""
        self._worker = worker

    def process(self, tasks: list[Task]) -> list[Task]:
        """See `Stage`."""
        if self.gather:
            return self._together(tasks)
        return [made for task in tasks for made in self._each(task)]

    # -- one run of the program ---------------------------------------------------------------------

    def _each(self, task: Task) -> list[Task]:
        known = task_names(task)
        places = {name: self.file(task, path) for name, path in self.outputs.items()}
        with _Room() as room:
            if code := self._run(room, known, places):
                self.drop(task, self._reason(code))
                return []
            if self.gives(type(task)) is not Record:
                return [task]
            values, files = self._written(room, known, places)
        return [Record(id=task.id, parents=task.parents, weight=task.weight, values=values, files=files)]

    def _together(self, tasks: list[Task]) -> list[Task]:
        known = _agreed([task_names(task) for task in tasks])
        record = self.child(tasks, Record)
        places = {name: self.file(record, path) for name, path in self.outputs.items()}
        with _Room() as room:
            if code := self._run(room, known, places):
                for task in tasks:
                    self.drop(task, self._reason(code))
                return []
            if not (self.outputs or self.values):
                return tasks
            values, files = self._written(room, known, places)
        return [attrs.evolve(record, values=values, files=files)]

    def _run(self, room: _Room, known: Mapping[str, Any], places: Mapping[str, File]) -> int:
        """The exit code: 0, or one that drops. Raises ProgramFailed."""

        def value(name: str) -> str:
            if name.startswith("out."):
                return str(places[name[len("out.") :]].path)
            return room.own(self._worker).get(name) or _text_of(name, known)

        argv = [_fill(part, value) for part in self.argv]
        more = {name: _fill(part, value) for name, part in self.variables.items()}
        code, end = run_program(argv, room.work, {**_environment(), **more})
        if code and code not in self.drop_on:
            last = end.rpartition("\n")[2]
            raise ProgramFailed(f"{argv[0]}: exit code {code}{f': {last}' if last else ''}", f"{shown(argv)}\n{end}")
        return code

    def _written(
        self, room: _Room, known: Mapping[str, Any], places: Mapping[str, File]
    ) -> tuple[dict[str, Any], dict[str, File]]:
        """(values, files) of the Record: what the program wrote, and what the task before it had."""
        for name, file in places.items():
            if not os.path.lexists(file):
                raise OutputMissing(f"{self.argv[0]}: exit code 0, and its output {name!r} is not there: {file.path}")
        values = room.read_values(self.values) if self.values else {}
        carried = {name: value for name, value in known.items() if name not in _BASE}
        files = {name: value for name, value in carried.items() if isinstance(value, File)}
        kept = {name: _plain(value) for name, value in carried.items() if name not in files and _is_plain(value)}
        return {**kept, **values}, {**files, **places}

    def _reason(self, code: int) -> str:
        return f"{os.path.basename(self.argv[0])}: exit code {code}"

    # -- before it runs -----------------------------------------------------------------------------

    def _check(self) -> None:
        """Raise ConfigError for what could never run."""
        for name, kind in self.values.items():
            if kind not in TYPES:
                raise ConfigError(f"values.{name}={kind!r}: there is no such type; there are: {', '.join(TYPES)}")
        for name, path in self.outputs.items():
            if not path or path.startswith("/") or {"", ".", ".."} & set(path.rstrip("/").split("/")):
                raise ConfigError(f"outputs.{name}={path!r}: a relative path is expected, such as {name}.bin")
        if 0 in self.drop_on:
            raise ConfigError("drop_on: exit code 0 means that the program did its work; it drops nothing")
        self._check_own_names()

    def _check_own_names(self) -> None:
        names = self.placeholders()
        for name in names:
            if name.startswith("out.") and name[len("out.") :] not in self.outputs:
                raise ConfigError(f"argv: {{{name}}}: there is no such output; {suggestion(name[4:], self.outputs)}")
        for name in self.outputs:
            if f"out.{name}" not in names:
                raise ConfigError(f"outputs.{name}: the program does not get its path; put {{out.{name}}} in argv")
        if self.values and "values" not in names:
            raise ConfigError("values: the program does not get the path where to write them; put {values} in argv")

    def placeholders(self) -> tuple[str, ...]:
        """All that stand in `argv` and `variables`, in order."""
        parts = [*self.argv, *self.variables.values()]
        return tuple(dict.fromkeys(name for part in parts if not SYMBOL.fullmatch(part) for name in names_in(part)))


class _Room:
    """Where one run of a program happens: an empty folder for it, and beside that what it exchanges with us."""

    def __enter__(self) -> _Room:
        self._folder = tempfile.mkdtemp(prefix="hpcurate-program-")
        self.work, self.values = os.path.join(self._folder, "work"), os.path.join(self._folder, "values.json")
        os.mkdir(self.work)
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def own(self, worker: WorkerInfo) -> dict[str, str]:
        """What stands for the placeholders in OWN."""
        return {"values": self.values, "cpus": str(worker.cpus), "gpus": str(len(worker.gpus)), "scratch": self.work}

    def read_values(self, declared: Mapping[str, str]) -> dict[str, Any]:
        """What the program wrote there. Raises BadValues."""
        try:
            with open(self.values, "rb") as file:
                found = json.loads(file.read())
        except FileNotFoundError:
            raise BadValues("the program ended well, and did not write its {values}") from None
        except (OSError, ValueError, RecursionError) as error:
            raise BadValues(f"{{values}}: the program did not write JSON there: {error}") from None
        return checked_values(found, declared)


def checked_values(found: Any, declared: Mapping[str, str]) -> dict[str, Any]:
    """The values as declared; a whole number may stand for a real one. Raises BadValues. Pure."""
    if not isinstance(found, dict):
        raise BadValues(f"{{values}}: expected a JSON object, got {type(found).__name__}")
    for name in found.keys() - declared.keys():
        raise BadValues(f"{{values}}: {name!r} is not declared; {suggestion(name, declared)}")
    return {name: _of_type(name, found, TYPES[kind]) for name, kind in declared.items()}


def _of_type(name: str, found: Mapping[str, Any], kind: type) -> Any:
    if name not in found:
        raise BadValues(f"{{values}}: there is no {name!r}, which is declared")
    value = float(found[name]) if kind is float and type(found[name]) is int else found[name]
    if type(value) is not kind:
        raise BadValues(f"{{values}}: {name}: expected {kind.__name__}, got {json.dumps(value)[:80]}")
    if isinstance(value, float) and not math.isfinite(value):
        raise BadValues(f"{{values}}: {name} is {value}, which is no JSON")
    return value


def task_names(task: Task) -> dict[str, Any]:
    """What `{name}` may mean in a command that is given this task: its fields; of a Record, values, then files, too."""
    fields = {field.name: getattr(task, field.name) for field in attrs.fields(type(task))}
    if not isinstance(task, Record):
        return fields
    own = {name: value for name, value in fields.items() if name not in ("values", "files")}
    return {**task.files, **task.values, **own}


def _agreed(tasks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Each name with its value wherever it is; DIFFERS where there are several."""
    found: dict[str, Any] = {}
    for names in tasks:
        for name, value in names.items():
            if found.setdefault(name, value) != value:
                found[name] = _DIFFERS
    return {name: value for name, value in found.items() if name not in _BASE}


_DIFFERS = object()


def _text_of(name: str, known: Mapping[str, Any]) -> str:
    """What stands for a name of the task. Raises StageError."""
    if name not in known:
        raise StageError(f"{{{name}}}: the task has no such field, value or file; {suggestion(name, [*known, *OWN])}")
    value = known[name]
    if value is _DIFFERS:
        raise StageError(f"{{{name}}}: the tasks that come together here differ in it")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    if isinstance(value, (File, PurePath)):
        return os.fspath(value)
    raise StageError(f"{{{name}}}: {value!r:.80} is no text, number or file, so it cannot stand in an argument")


def _fill(part: str, value: Any) -> str:
    return part if SYMBOL.fullmatch(part) else filled(part, value)


def _checked_argv(argv: Any) -> list[str]:
    if isinstance(argv, str):
        raise ConfigError(f"argv={argv!r}: a list of arguments is expected, as no shell takes it apart: {argv.split()}")
    if not isinstance(argv, (list, tuple)) or not argv:
        raise ConfigError('argv: a list of arguments is expected, the program first: ["ffmpeg", "-i", "{path}"]')
    return [_text(f"argv[{place}]", part) for place, part in enumerate(argv)]


def _text(key: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ConfigError(f"{key}={value!r}: a text or a number is expected")
    return str(value)


def _is_plain(value: Any) -> bool:
    return value is not _DIFFERS and _plain(value) is not msgspec.UNSET


def _plain(value: Any) -> Any:
    """The value as JSON has it; UNSET for what it cannot hold."""
    try:
        return msgspec.to_builtins(value, enc_hook=_path)
    except (TypeError, ValueError):
        return msgspec.UNSET


def _path(value: Any) -> str:
    if isinstance(value, PurePath):
        return os.fspath(value)
    raise TypeError(type(value))


def _environment() -> dict[str, str]:
    """That of the stage; `python` is its own."""
    own = os.path.dirname(sys.executable)
    return {**os.environ, "PATH": os.pathsep.join([own, os.environ.get("PATH", os.defpath)])}
