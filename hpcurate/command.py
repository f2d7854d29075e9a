"""A program as a stage: a list of arguments with places for a task's fields, and files and values that it writes.

This module runs in every stage environment: Python 3.9 or newer, attrs, msgspec and the standard library only.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

import attrs

from hpcurate.errors import ConfigError, ProgramKilled, ProgramNotFound, StageError
from hpcurate.programs.declared import OWN, Declared, arguments_of, as_text, is_literal
from hpcurate.programs.placeholders import filled
from hpcurate.programs.project_files import check_scripts, in_project, modules_of, project_files
from hpcurate.spec import InputFile, coerce_parameters, find_task
from hpcurate.stage import Stage, WorkerInfo
from hpcurate.stage_process.program import Program, in_shell, last_line, run_program
from hpcurate.stage_process.records import Names, Returned, agreed, carried, checked_values, line_of, made_of, text_of
from hpcurate.stage_process.room import Room, Rooms, check_output
from hpcurate.stage_process.surroundings import Surroundings, surroundings
from hpcurate.task import File, Record, Task, marked_fields

__all__ = ["Command"]

JUDGED_S = 0.02
"""How long an exit code waits: where the job was signalled, this process ends, too, and judges nothing."""


class Command(Stage[Task, Task]):
    """Runs a program for each task, from a list of arguments: never a shell.

    `argv=["ffmpeg", "-i", "{path}", "{out.clip}"]`, `outputs={"clip": "clip.mp4"}`: a task's fields stand in braces,
    `{out.NAME}` is the path where the program writes that output, and `{values}` one where it writes a JSON object with
    the declared `values`. With either it returns a `Record`, else the task that came in. It runs in an empty folder.
    Exit code 0: done; one of `drop_on`: the task is dropped; another: it fails (`ProgramFailed`).

    With `{tasks}` it runs once for a batch; what it returns it may write to `{returned}`, as tasks of the class
    `returns`. With `gather` it runs once for all tasks of the run, and a name is that in which they agree. Files of the
    project that `argv` names, and those of `files`, are copied with the run. `variables` are its environment's.
    """

    version = 1

    @property
    def source_files(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of whatever tasks it is given."""
        return marked_fields(self.task_types[0])

    def __init__(
        self,
        argv: Any,
        outputs: Optional[dict[str, str]] = None,
        values: Optional[dict[str, str]] = None,
        drop_on: Optional[list[int]] = None,
        gather: bool = False,
        files: Any = None,
        variables: Optional[dict[str, Any]] = None,
        returns: Optional[str] = None,
    ) -> None:
        """Check it.

        Args:
            argv: the program and its arguments, a list; names of the task and others stand in braces.
            outputs: name → relative path of a file or folder that it writes to `{out.NAME}`.
            values: name → type (int, float, str, bool, list, dict) of what it writes as JSON to `{values}`.
            drop_on: exit codes that drop the task.
            gather: run once, for all tasks of the run.
            files: further files of the project that are copied with the run, relative paths.
            variables: environment variables, with the same names in braces.
            returns: class of the tasks that a batch writes to `{returned}`, module.Class.
        """
        given = coerce_parameters(type(self), self._arguments)
        self.declared = Declared(
            argv=arguments_of(given["argv"]),
            variables={name: as_text(f"variables.{name}", v) for name, v in (given.get("variables") or {}).items()},
            outputs=given.get("outputs") or {},
            values=given.get("values") or {},
            drop_on=frozenset(given.get("drop_on") or ()),
            gather=bool(given.get("gather")),
            returns=given.get("returns") or "",
        )
        self.declared.check()
        self.gather = self.declared.gather  # type: ignore[misc]
        self.checkpoints = "checkpoint" in self.declared.placeholders
        if self.declared.batch:
            self.batch_size = 0  # type: ignore[misc]
        self.files = self._project_files(given.get("files"))
        self.one_node = next((f"{one} is copied to the first node alone; make it a module" for one in self.files), "")
        self._worker, self._project = WorkerInfo(index=0, process=0, cpus=1), ""
        self._rooms: Optional[Rooms] = None

    def arguments(self) -> dict[str, Any]:
        """See `Stage`. What is empty was not given; project files as what they are."""
        given = {**super().arguments(), "files": self.files}
        return {name: value for name, value in given.items() if value or name == "argv"}

    def gives(self, given: type[Task]) -> type[Task]:
        """See `Stage`."""
        if self.declared.returns:
            return find_task(self.declared.returns)
        return Record if self.declared.records else given

    def modules(self) -> tuple[str, ...]:
        """Modules that it runs: `python -m NAME`."""
        return modules_of(self.declared.argv)

    def lacks(self) -> tuple[str, ...]:
        """The program, if it is not found here."""
        program = self.declared.argv[0]
        if "{" in program or program in self.files or os.path.normpath(program) in self.files:
            return ()
        return () if shutil.which(program, path=self._environment()["PATH"]) else (program,)

    def setup(self, worker: WorkerInfo) -> None:
        """See `Stage`."""
        for program in self.lacks():
            raise ProgramNotFound(f"{program}: there is no such program in PATH here")
        self._worker = worker
        self._lay_out()

    def teardown(self) -> None:
        """See `Stage`."""
        if self._rooms:
            self._rooms.close()
            self._rooms = None

    def process(self, tasks: list[Task]) -> list[Task]:
        """See `Stage`."""
        if self.gather:
            return self._gathered(tasks)
        if self.declared.batch:
            return self._batch(tasks)
        return [made for task in tasks for made in self._batch([task])]

    # -- runs of the program ------------------------------------------------------------------------

    def _batch(self, tasks: list[Task]) -> list[Task]:
        """One run for these tasks, each with outputs of its own."""
        places = {task.id: self._places(task) for task in tasks}
        with self._lay_out().room() as room:
            if "tasks" in self.declared.placeholders:
                room.write_tasks([line_of(task, places[task.id]) for task in tasks])
            alone = tasks[0] if len(tasks) == 1 else None
            if code := self._run(room, tasks, places[alone.id] if alone else {}):
                return self._dropped(tasks, code)
            if self.declared.returned:
                return self._returned(room, tasks, places)
            if not self.declared.records:
                return tasks
            return [self._record(room, task, places[task.id]) for task in tasks]

    def _gathered(self, tasks: list[Task]) -> list[Task]:
        """One run for all tasks, with outputs that belong to none of them."""
        joined = self.child(tasks, Record)
        places = self._places(joined)
        with self._lay_out().room() as room:
            if "tasks" in self.declared.placeholders:
                room.write_tasks([line_of(task, {}) for task in tasks])
            if code := self._run(room, tasks, places):
                return self._dropped(tasks, code)
            if self.declared.returned:
                return self._returned(room, tasks, {task.id: places for task in tasks})
            if not self.declared.records:
                return tasks
            values, files = self._written(room, tasks, places)
        return [attrs.evolve(joined, values=values, files=files)]

    def _run(self, room: Room, tasks: Sequence[Task], places: Mapping[str, File]) -> int:
        """The exit code: 0, or one that drops. Raises ProgramFailed."""
        names, first = self.declared.placeholders, tasks[0] if tasks else Task(id="all")
        with surroundings(names, self._worker, room.folder, lambda: self.checkpoint(first)) as around:
            code = self._run_in(around, room, tasks, places)
            if not code:
                around.keep_curves(lambda name, value, step: self.log(name, value, step=step))
            return code

    def _run_in(self, around: Surroundings, room: Room, tasks: Sequence[Task], places: Mapping[str, File]) -> int:
        known, own = agreed(tasks), {**self._own(room), **around.values}

        def value(name: str) -> str:
            if name.startswith("out."):
                return str(places[name[len("out.") :]].path)
            return own[name] if name in own else text_of(name, known, list(OWN))

        argv = [self._filled(part, value) for part in self.declared.argv]
        variables = {name: self._filled(part, value) for name, part in self.declared.variables.items()}
        folders = sorted({os.path.dirname(str(place.path)) for place in places.values()})
        words, shown = around.argv(argv, room.work), in_shell([*around.before, *argv], variables)
        program = Program(words, room.work, {**self._environment(), **variables}, shown, folders)
        if around.nodes > 1 or self.checkpoints:  # to be pasted where it is looked into
            print(f"{program.shown}", flush=True)
        code, signal, end = around.judged(*run_program(program))
        room.ran = program.ran(end)
        if signal:
            raise ProgramKilled(signal, f"{argv[0]}: a rank was killed by signal {signal}", room.ran)
        if code:
            time.sleep(JUDGED_S)
        if code and code not in self.declared.drop_on:
            raise program.failed(f"exit code {code}{_meaning(code)}{last_line(end)}", end)
        return code

    def _filled(self, part: str, value: Callable[[str], str]) -> str:
        if is_literal(part):
            return part
        return filled(part, value) if "{" in part else in_project(part, self.files, self._project)

    def _own(self, room: Room) -> dict[str, str]:
        """What stands for the placeholders in OWN."""
        return {
            "values": room.values,
            "tasks": room.tasks,
            "returned": room.returned,
            "cpus": str(self._worker.cpus),
            "gpus": str(len(self._worker.gpus)),
            "scratch": room.work,
        }

    def _environment(self) -> dict[str, str]:
        """That of the stage; `python` is its own, and finds the modules that the stage finds."""
        own, here = os.path.dirname(sys.executable), os.getcwd()
        found = {**os.environ, "PATH": os.pathsep.join([own, os.environ.get("PATH", os.defpath)])}
        if {"", here} & set(sys.path):  # in the driver itself: elsewhere the frozen code is on PYTHONPATH
            found["PYTHONPATH"] = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
        return found

    def _lay_out(self) -> Rooms:
        """The folder for its runs, with the project's files."""
        if self._rooms is None:
            self._rooms = Rooms()
            self._project = self._rooms.project(self.files)
        return self._rooms

    def _places(self, task: Task) -> dict[str, File]:
        """Where the outputs of a task belong. A path that ends in `/` is a folder, which is made."""
        places = {name: self.file(task, path.rstrip("/")) for name, path in self.declared.outputs.items()}
        for name, place in places.items():
            if os.path.lexists(place):
                raise StageError(
                    f"outputs.{name}: another member of the chain wrote {self.declared.outputs[name]!r}; rename one"
                )
            if self.declared.outputs[name].endswith("/"):
                os.mkdir(place)
        return places

    # -- what comes of one --------------------------------------------------------------------------

    def _dropped(self, tasks: Sequence[Task], code: int) -> list[Task]:
        for task in tasks:
            self.drop(task, f"{os.path.basename(self.declared.argv[0])}: exit code {code}")
        return []

    def _record(self, room: Room, task: Task, places: Mapping[str, File]) -> Record:
        values, files = self._written(room, [task], places)
        return Record(id=task.id, parents=task.parents, weight=task.weight, values=values, files=files)

    def _written(
        self, room: Room, tasks: Sequence[Task], places: Mapping[str, File]
    ) -> tuple[dict[str, Any], dict[str, File]]:
        """(values, files): what the program wrote, and what the tasks before it had."""
        for name, place in places.items():
            check_output(name, str(place.path))
        own = checked_values(room.read_values(), self.declared.values) if self.declared.values else {}
        values, files = carried(agreed(tasks))
        return {**values, **own}, {**files, **places}

    def _returned(self, room: Room, tasks: Sequence[Task], places: Mapping[str, Mapping[str, File]]) -> list[Task]:
        by_id: dict[str, list[Task]] = {}
        for task in tasks:
            by_id.setdefault(task.id, []).append(task)
        made = [self._made(line, by_id, places) for line in room.read_returned()]
        return [task for task in made if task is not None]

    def _made(
        self, line: Returned, by_id: Mapping[str, list[Task]], places: Mapping[str, Mapping[str, File]]
    ) -> Optional[Task]:
        named = line.parents or (tuple(by_id) if self.gather or len(by_id) == 1 else ())
        parents = [task for one in named for task in by_id.get(one, ())]
        if not parents or not by_id.keys() >= set(named):
            raise line.wrong(f"parent: expected the id of a task in {{tasks}}, got {list(line.parents)}")
        if line.drop is not None:
            for task in parents:
                self.drop(task, line.drop)
            return None
        base, where = agreed(parents), [place for one in named for place in places[one].values()]
        kind = self.gives(type(parents[0]))
        fields = made_of(line, kind, base, self.declared.values, lambda path: _file_at(path, where, base))
        wanted = line.fields.get("id")
        if wanted in named:
            fields.setdefault("weight", parents[0].weight)
            return kind(id=wanted, parents=parents[0].parents, **fields)
        return self.child(parents, kind, id=wanted, **fields)

    def _project_files(self, given: Any) -> dict[str, InputFile]:
        """Name in the project → where it lies: found where the command is typed, given elsewhere."""
        if isinstance(given, Mapping):
            return {str(name): InputFile(path) for name, path in given.items()}
        if given is not None and not isinstance(given, (list, tuple)):
            raise ConfigError(f"files={given!r}: a list of paths is expected")
        check_scripts(self.declared.argv)
        return {name: InputFile(name) for name in project_files(self.declared.argv, map(str, given or ()))}


def _file_at(path: str, places: Sequence[File], known: Names) -> File:
    """The File at an absolute path: below one of these places, or one that came in. Raises ValueError."""
    path = os.path.normpath(path)
    for file in (value for value in known.values() if isinstance(value, File)):
        if path == os.path.normpath(str(file.path)):
            return file
    for place in places:
        top = str(place.path)
        if path == top or path.startswith(top + os.sep):
            check_output(os.path.relpath(path, os.path.dirname(top)), path)
            if os.path.realpath(path) != os.path.realpath(top) + path[len(top) :]:
                raise ValueError(f"{path!r} lies behind a link; name the file itself")
            return File(place.ref + path[len(top) :], path)
    raise ValueError(f"{path!r} is no file of these tasks, and lies in none of their outputs")


def _meaning(code: int) -> str:
    """What shells and `env` mean by some codes."""
    if code in (126, 127):
        return " (it found no such program, or may not run it)"
    return f" (something that it ran was killed by signal {code - 128})" if 128 < code < 160 else ""
