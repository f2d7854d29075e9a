"""Classes that a script or a notebook defines itself run in workers; where they cannot, the message says what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT

SCRIPT = '''
"""A script without a guard."""

from __future__ import annotations

import sys

import attrs

import hpcurate
from hpcurate import Stage, Task
from beside import double

LIMIT = 5
# --


@attrs.define
class Inner:
    n: int = 0


@attrs.define(kw_only=True)
class Num(Task):
    inner: Inner


class Other:
    """Nothing that a worker needs."""


class Doubles(Stage[Num, Num]):
    def process(self, tasks: list[Num]) -> list[Num]:
        for task in tasks:
            task.inner.n = min(double(task.inner.n), LIMIT)
        return tasks


# --
store, launcher = sys.argv[1:]
run = hpcurate.run([Doubles()], [Num(id=str(n), inner=Inner(n)) for n in range(4)], store=store, launcher=launcher)
print(run.state.value, [task.inner for task in run.tasks("doubles")])
assert ("__main__", "main_code") == (Other.__module__, Num.__module__)
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the script, and a module of the user's that it imports."""
    (tmp_path / "beside.py").write_text("def double(n):\n    return 2 * n\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


def python(folder: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """In the folder."""
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", "IPYTHONDIR": str(folder / "ipython")}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, input=stdin, env=environment, capture_output=True, text=True, check=False
    )


def test_a_script_runs_its_own_classes_in_workers(folder: Path) -> None:
    """Without the call that started the run: a worker would start another. The same code again is the same run."""
    said = "complete [Inner(n=0), Inner(n=2), Inner(n=4), Inner(n=5)]\n"
    for _ in range(2):
        done = python(folder, "script.py", "store", "local")
        assert (said, 0) == (done.stdout, done.returncode), done.stderr
    [code] = folder.glob("store/runs/latest/code-*")
    assert {"main_code.py", "beside.py"} <= {path.name for path in code.iterdir()}
    assert "hpcurate.run" not in (code / "main_code.py").read_text()
    assert 1 == len(list(folder.glob("store/runs/[0-9]*")))


@pytest.mark.parametrize("words", [["-"], ["-c", SCRIPT]], ids=["stdin", "-c"])
def test_what_has_no_source_says_what_to_do(folder: Path, words: list[str]) -> None:
    """And writes nothing."""
    done = python(folder, *words, "store", "local", stdin=SCRIPT)
    assert "Doubles, Num: defined in the script or notebook itself, which workers cannot import" in done.stderr
    assert "its source is not known; write them into a module of their own, mystages.py" in done.stderr
    assert not (folder / "store").exists()


def test_classes_of_functions_say_what_to_do(folder: Path) -> None:
    """Nobody can import them."""
    head, classes, call = SCRIPT.strip().split("# --\n")
    inside = "".join(f"    {line}\n" for line in classes.splitlines())
    text = (
        f"{head}\n\n\ndef make():\n{inside}    return Doubles, Num, Inner\n\n\nDoubles, Num, Inner = make()\n{call}\n"
    )
    (folder / "script.py").write_text(text)
    done = python(folder, "script.py", "store", "local")
    assert "is no class at its top; write them into a module of their own" in done.stderr
    assert not (folder / "store").exists()


CELLS = """
import sys
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
for cell in sys.stdin.read().split("# --\\n"):
    done = shell.run_cell(cell, store_history=True)
    done.error_in_exec and print(type(done.error_in_exec).__name__, done.error_in_exec, file=sys.stderr)
"""
"""Runs what it reads as the cells of a notebook, in a process that is its kernel."""
RUN = """run = hpcurate.run([Times()], [Num(id="a", n=2)], store="store", launcher="inline")
print("said", [task.n for task in run.tasks("times")], run.run.name.rpartition("-")[2])
"""
TASK = "@attrs.define(kw_only=True)\nclass Num(Task):\n    n: int\n"
STAGE = """class Times(Stage[Num, Num]):
    def process(self, tasks):
        for task in tasks:
            task.n = times(task.n)
        return tasks
"""


def said(folder: Path, *cells: str) -> tuple[list[str], str]:
    """What runs of a notebook printed, and its errors."""
    first = ["import attrs, hpcurate\nfrom hpcurate import Stage, Task\n", TASK, "FACTOR = 3\n"]
    every = [*first, "def times(n):\n    return FACTOR * n\n", STAGE, RUN, *cells]
    done = python(folder, "-c", CELLS, stdin="# --\n".join(every))
    return [line[5:] for line in done.stdout.splitlines() if line.startswith("said ")], done.stderr


def test_an_edited_cell_is_another_stage(folder: Path) -> None:
    """Also if only a constant of another cell changed, and the class is the same; the same cells again are the same."""
    lines, errors = said(folder, STAGE, RUN, "FACTOR = 5\n", RUN, "FACTOR = 3\n", RUN)
    assert ("", 4) == (errors, len(lines))
    first, again, edited, back = lines
    assert first == again == back
    assert (first[:3], edited[:4]) == ("[6]", "[10]")
    assert first.split()[1] != edited.split()[1]


def test_a_class_that_was_defined_again_is_named(folder: Path) -> None:
    """While others still name the one before; and what was changed in place."""
    lines, errors = said(folder, TASK, RUN, STAGE, RUN, "FACTOR += 1\n", RUN)
    assert "PipelineError Num was defined again since its stages and tasks were made" in errors
    assert "PipelineError Num, Times: defined in the script or notebook itself" in errors
    assert "`FACTOR += 1` changes 'FACTOR' after its definition" in errors
    assert 2 == len(lines)
