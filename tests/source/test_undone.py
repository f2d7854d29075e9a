"""What another tool has done is left out before anything is loaded: by its files, by names, by a function."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from shell import Shell

import hpcurate
from hpcurate import FileTask, Task
from hpcurate.cli.start.inputs import part_of
from hpcurate.cli.start.settings import read_settings
from hpcurate.errors import ConfigError
from hpcurate.planning.build import Step
from hpcurate.source import Exclude, Files, Part, Several, Undone
from hpcurate.source.scan import scan
from stages.files import WriteJson


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Ten files."""
    (tmp_path / "data").mkdir()
    for n in range(10):
        (tmp_path / "data" / f"{n}.bin").write_text("x")
    return tmp_path / "data"


def left(data: Path, done: Any) -> list[str]:
    """What is not done yet."""
    return [entry.name for entry in scan(Undone(Files(str(data)), done)).entries()]


def is_done(task: FileTask) -> bool:
    """All but one."""
    return task.source != "7.bin"


def are_done(tasks: list[FileTask]) -> list[bool]:
    """The same of a batch."""
    return [is_done(task) for task in tasks]


def in_sequence(tasks: Sequence[Task], *, quickly: bool = True) -> Any:
    """With an option, and an array of numpy."""
    import numpy

    return numpy.array([task.id != "" and quickly for task in tasks])


def is_executed(input: str, size: int, **kwargs: Any) -> bool:
    """As in Kagurazaka."""
    return os.path.basename(input) != "7.bin" and size > 0 and kwargs["path"] == input


class Tool:
    """Somebody's."""

    @staticmethod
    def is_each_executed(source: str, **kwargs: Any) -> bool:
        """Of the fields of a task."""
        return source != "7.bin"


FUNCTIONS = [
    is_done,
    are_done,
    is_executed,
    f"{__name__}:is_done",
    f"{__name__}:are_done",
    f"{__name__}:Tool.is_each_executed",
]


@pytest.mark.parametrize("done", FUNCTIONS)
def test_a_function_says_what_is_done(data: Path, done: Any) -> None:
    """Of a task, of a list of tasks, of the fields of a task."""
    assert ["7.bin"] == left(data, done)
    (note,) = scan(Undone(Files(str(data)), done)).notes
    assert note == f"already done: 9 items ({done if isinstance(done, str) else done.__qualname__})"


def test_a_function_of_a_list_is_asked_about_many_at_once(data: Path) -> None:
    """Also with options, and with an answer that is an array."""
    calls: list[int] = []

    def asked(tasks: Sequence[Task]) -> list[bool]:
        calls.append(len(tasks))
        return [False] * len(tasks)

    assert (10, [10]) == (len(left(data, asked)), calls)
    assert [] == left(data, in_sequence)


def fails(task: FileTask) -> bool:
    """For one of them."""
    return 1 // (int(task.source[0]) - 3) > 5


def too_few(tasks: list[Task]) -> list[bool]:
    """One answer is missing."""
    return [True] * (len(tasks) - 1)


async def later(task: Task) -> bool:
    """Nobody waits for it."""
    return True


def nothing(task: Task) -> None:
    """A forgotten return."""


def two(task: Task, output: str) -> bool:
    """What is output?"""
    return bool(output)


WRONG: list[tuple[Any, str]] = [
    (fails, r"done=fails: '3.bin' \(id '[-0-9a-f]{36}'\): ZeroDivisionError: .* \(.*test_undone.py:\d+\)"),
    (too_few, r"done=too_few: returned \[True, .* for 10 tasks from '0.bin' .* on: expected a list of True or False, one"),
    (nothing, r"done=nothing: returned None for '0.bin' .*: expected True or False"),
    (later, r"done=later: returned <coroutine .*: expected True or False"),
    (two, r"done=two: expected a function of one task, is_done\(task\), of a list"),
    (f"{__name__}:nobody", r"done=.*: AttributeError: .*nobody"),
    (f"{__name__}:Tool.other", r"done=.* has no function Tool.other"),
    ("no.such.module:f", r"done=no.such.module:f: ModuleNotFoundError"),
    ("/x/{nothing}.json", r"expected one path with {relative}.*module:function"),
]  # fmt: skip


@pytest.mark.parametrize(("done", "told"), WRONG)
def test_a_function_that_is_wrong_is_named_with_the_task(data: Path, done: Any, told: str) -> None:
    """Where it failed, or what it should have returned; never a traceback."""
    with pytest.raises(ConfigError, match=told):
        left(data, done)


def test_a_file_of_names_says_what_is_done(data: Path) -> None:
    """As another tool wrote it; names that are no item's are nothing to say of."""
    (data.parent / "done.txt").write_text("".join(f"{n}.bin\n" for n in range(9)) + "old.bin\n")
    assert ["9.bin"] == left(data, f"@{data.parent}/done.txt")
    assert [
        f"already done: 9 items (@{data.parent}/done.txt)",
        f"done: @{data.parent}/done.txt: 1 of 10 names are no item's, e.g. 'old.bin'",
    ] == list(scan(Undone(Files(str(data)), f"@{data.parent}/done.txt")).notes)


@pytest.mark.parametrize("done", ["captions", "mychecks", "[c/{relative}.json,@bad.txt]", ["c/{relative}.json"]])
def test_what_cannot_say_whether_an_item_is_done_is_refused(data: Path, done: Any) -> None:
    """A folder alone counted as every item's output, a list as a path."""
    with pytest.raises(ConfigError, match=r"expected one path with \{relative\}.*@FILE with names; or module:function"):
        Undone(Files(str(data)), done)


def test_that_nothing_is_done_is_said(data: Path) -> None:
    """A misspelt pattern finds nothing."""
    pattern = str(data / "{relative}.jsno")
    assert (f"already done: 0 items ({pattern})",) == scan(Undone(Files(str(data)), pattern)).notes


def test_names_of_items_that_others_left_out_are_not_called_unknown(data: Path) -> None:
    """A part has not all items; a trial neither."""
    names = data.parent / "done.txt"
    names.write_text("0.bin\n9.bin\n")
    of_all = Files(str(data))
    for source, limit in ((Part(of_all, ((0, 10),)), None), (of_all, 2), (Exclude(of_all, ("9.bin",)), None)):
        assert not [note for note in scan(Undone(source, f"@{names}"), limit).notes if "no item" in note]


STAGE = """
import os

import attrs

from hpcurate import FileTask, Stage, Task


@attrs.define(kw_only=True)
class Scored(Task):
    score: int


class Score(Stage[FileTask, Scored]):
    def __init__(self, results: str, log: str):
        self.results, self.log = results, log

    def note(self, line):
        with open(self.log, "a") as file:
            file.write(line + "\\n")

    def setup(self, worker):
        self.note("load")

    def is_executed(self, task: FileTask) -> bool:
        return os.path.exists(os.path.join(self.results, task.source + ".txt"))

    def process(self, tasks):
        self.note(f"inference {len(tasks)}")
        return [self.child(task, Scored, score=task.size) for task in tasks]


def are_done(tasks: list[FileTask]) -> list[bool]:
    return [os.path.exists(os.path.join("results", task.source + ".txt")) for task in tasks]
"""


def score_pipeline(shell: Shell, data: Path) -> list[str]:
    """A project with that stage, and results of another tool for nine of the ten."""
    (shell.cwd / "stages").mkdir()
    (shell.cwd / "stages" / "score.py").write_text(STAGE)
    (shell.cwd / "conf" / "pipeline").mkdir(parents=True)
    (shell.cwd / "conf" / "pipeline" / "score.yaml").write_text(
        "# @package _global_\nname: score\nsource: {_target_: hpcurate.source.Files, path: '${input}'}\n"
        "stages:\n  score: {_target_: stages.score.Score, results: results, log: log.txt}\n"
    )
    (shell.cwd / "results").mkdir()
    for n in range(9):
        (shell.cwd / "results" / f"{n}.bin.txt").write_text("0.5")
    return ["+pipeline=score", f"input={data}"]


@pytest.mark.parametrize("done", ["results/{relative}.txt", "stages.score:are_done", "stages.score"])
def test_of_ten_items_of_which_nine_are_done_one_is_loaded_and_inferred(shell: Shell, data: Path, done: str) -> None:
    """Whoever says so: another tool's files, a function of a batch, the stage itself."""
    words = score_pipeline(shell, data)
    told = shell.inline(*words, f"done={done}").stderr
    assert f"input: already done: 9 items ({done})" in told
    assert ["load", "inference 1"] == (shell.cwd / "log.txt").read_text().splitlines()


@pytest.mark.parametrize(
    ("done", "told"),
    [
        ("stages.write", r"WriteJson has no method is_executed\(self, task\)"),
        ("stages.wrte", "no such stage; did you mean 'write'"),
    ],
)
def test_a_stage_that_does_not_say_what_is_done_is_refused(data: Path, done: str, told: str) -> None:
    """Before anything is read."""
    settings = read_settings({"done": done})
    with pytest.raises(ConfigError, match=told):
        part_of(Files(str(data)), settings, lambda: {"write": Step(WriteJson("out"))})


def test_from_python_with_several_inputs(data: Path, tmp_path: Path) -> None:
    """`hpcurate.run` takes `exclude` and `done`, also over several inputs; the one that comes later adds its own work."""
    out, log = tmp_path / "out", list[str]()
    for name in ("new/a.bin", "new/b.bak"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("y")

    def run(*names: str) -> list[str]:
        inputs = Several({name: Files(str(tmp_path / name)) for name in names})
        hpcurate.run(
            [WriteJson(str(out))], inputs, store=tmp_path / "store", launcher="inline", echo=log.append,
            exclude="*.bak", done=is_odd,
        )  # fmt: skip
        return sorted(str(path.relative_to(out)) for path in out.rglob("*.json"))

    first = run("data")
    assert [f"data/{n}.bin.json" for n in (0, 2, 4, 6, 8)] == first
    for path in out.rglob("*.json"):
        path.unlink()
    assert ["new/a.bin.json"] == run("data", "new"), "nothing of the first is written again"
    assert {"input: already done: 5 items (is_odd)", "input: excluded: 1 item (*.bak)"} <= set(log)


def is_odd(task: FileTask) -> bool:
    """By its name."""
    return task.source[-5].isdigit() and int(task.source[-5]) % 2 == 1
