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


class Doubles(Stage[Num, Num]):
    def process(self, tasks: list[Num]) -> list[Num]:
        for task in tasks:
            task.inner.n = min(double(task.inner.n), LIMIT)
        return tasks


# --
store, launcher = sys.argv[1:]
run = hpcurate.run([Doubles()], [Num(id=str(n), inner=Inner(n)) for n in range(4)], store=store, launcher=launcher)
print(run.state.value, [task.inner for task in run.tasks("doubles")])
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the script, and a module of the user's that it imports."""
    (tmp_path / "beside.py").write_text("def double(n):\n    return 2 * n\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


def python(folder: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """In the folder."""
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"}
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
