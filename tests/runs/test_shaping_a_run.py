"""Shaping a run: what is asked for, tried, done anew and explained, without losing or repeating work."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shell import LOCAL, Shell

from hpcurate.planning.epochs import latest_epochs
from hpcurate.planning.relations import Slices, Upstream
from hpcurate.planning.slicing import Slicing, pieces
from hpcurate.runs.explanation import part_differences
from hpcurate.store.stats import Committed

LOUD = (
    "from hpcurate import Stage\nfrom stages.hello import HelloTask\n\n\n"
    "class Loud(Stage[HelloTask, HelloTask]):\n"
    "    def __init__(self, mark: str = '!') -> None:\n        self.mark = mark\n\n"
    "    def process(self, tasks):\n"
    "        for task in tasks:\n            task.prompt = task.prompt.upper() + self.mark\n        return tasks\n"
)


def everything_below(folder: Path) -> list[str]:
    """Relative names of all that is there."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# -- dry_run ----------------------------------------------------------------------------------------


def test_a_dry_run_tells_the_plan_and_writes_nothing(shell: Shell) -> None:
    """Stages, shards known so far, workers; no store, no memory of one."""
    told = shell.run("+pipeline=words", "dry_run=true").stdout
    assert re.search(r"lower_case +the source +lower_case-\w{12} +3 +3 +0 +\d", told)
    assert re.search(r"show +\w+ +show-\w{12} +\? +\? +0 +<=\d", told)
    assert everything_below(shell.folder) == ["cwd"]


def test_a_dry_run_over_a_store_changes_nothing_in_it(shell: Shell) -> None:
    """Not even a cache or a marker."""
    shell.inline("+pipeline=words", "limit=1")
    before = everything_below(shell.store)
    told = shell.inline("+pipeline=words", "dry_run=true", "rerun=show").stdout
    assert "show-" in told
    assert everything_below(shell.store) == before


def test_a_dry_run_does_not_say_that_there_is_nothing_to_do_where_the_input_has_grown(shell: Shell) -> None:
    """It looked at the lists of now only, and the run then did all of it."""
    shell.inline("+pipeline=words", "limit=1")
    told = shell.inline("+pipeline=words", "dry_run=true").stdout
    assert "input: 3 tasks, 2 of them new" in told
    assert re.search(
        r"show +runs: what is new or done again in the input comes to it; all committed \(1 shard\) now", told
    )
    assert "nothing to do" in shell.inline("+pipeline=words", "limit=1", "dry_run=true").stdout


def test_a_dry_run_is_refused_for_what_the_run_would_be_refused_for(shell: Shell) -> None:
    """The same message, the same status."""
    assert (
        "did you mean 'workers'"
        in shell.run("+pipeline=words", "dry_run=true", "stages.show.wrkers=1", status=2).stderr
    )


@given(weights=st.lists(st.floats(0.01, 9), min_size=0, max_size=40), tasks=st.integers(0, 7), weight=st.floats(0, 12))
def test_the_number_of_shards_foretold_is_that_of_the_list(weights: list[float], tasks: int, weight: float) -> None:
    """`pieces` and `Slices.lines` agree."""
    slicing = Slicing(tasks=tasks, weight=weight)
    n = len(weights)
    shard = Committed(shard="0001-000000", nonce="n", tasks_in=n, tasks_out=n, passed=n, weight_out=float("inf"))
    lines = Slices(slicing).lines("0001", (Upstream("up", {"0001": [shard]}),), lambda stage, shard: weights)
    assert len(pieces(weights, slicing)) == len(lines)


# -- limit ------------------------------------------------------------------------------------------


def test_a_trial_is_reused_by_the_full_run(shell: Shell) -> None:
    """The full run does the other two tasks alone; a second trial of the same size does nothing."""
    shell.inline("+pipeline=words", "limit=1")
    assert len(shell.rows("lower_case")) == 1
    assert "nothing to do" in shell.inline("+pipeline=words", "limit=1").stderr
    shell.inline("+pipeline=words")
    assert len(shell.rows("lower_case")) == 3
    ids = [json.loads(row)["id"] for row in shell.rows("lower_case")]
    assert len(set(ids)) == 3


def test_after_a_trial_a_time_of_auto_is_what_the_rest_needs(shell: Shell) -> None:
    """Each round's plan has its own: half an hour while nothing is known, then as little as there may be."""
    auto = "stages.lower_case.resources.time=auto"
    shell.inline("+pipeline=words", "limit=1", auto)
    shell.inline("+pipeline=words", auto)
    plans = sorted(shell.store.glob("runs/2*/submissions/lower_case-*/plan.json"))
    assert ["30m", "10m"] == [json.loads(plan.read_text())["stage"]["resources"]["time"] for plan in plans]


def test_a_trial_after_the_full_run_is_a_trial(shell: Shell) -> None:
    """Two of three tasks, although the store knows all three."""
    shell.inline("+pipeline=words")
    shell.inline("+pipeline=words", "limit=2")
    summary = json.loads(shell.type("status", "--json").stdout)
    assert summary["stages"]["word_count"]["in"] == 2


def test_a_limit_below_one_is_refused(shell: Shell) -> None:
    """Naming the key."""
    assert "limit=0: must be at least 1" in shell.run("+pipeline=words", "limit=0", status=2).stderr


# -- rerun and explain ------------------------------------------------------------------------------


def test_rerun_does_a_stage_and_all_after_it_anew(shell: Shell) -> None:
    """What lies before it is left; the next call without `rerun` means the new results."""
    shell.inline("+pipeline=words")
    shell.inline("+pipeline=words", "rerun=show")
    assert [len(list(shell.store.glob(f"stages/{s}-*"))) for s in ("lower_case", "show", "word_count")] == [1, 2, 2]
    assert "nothing to do" in shell.inline("+pipeline=words").stderr
    shell.inline("+pipeline=words", "rerun=[show]")
    assert len(list(shell.store.glob("stages/show-*"))) == 3


def test_rerun_of_no_stage_is_refused(shell: Shell) -> None:
    """With the nearest name."""
    assert (
        "rerun=shwo: there is no such stage; did you mean 'show'?"
        in shell.run("+pipeline=words", "rerun=shwo", status=2).stderr
    )
    assert not shell.store.exists()


def test_explain_names_the_part_that_differs(shell: Shell) -> None:
    """For a run that is there, and for a command that has not been typed."""
    (shell.cwd / "loud.py").write_text(LOUD)
    mine = ["+pipeline=words", "stages.mine.file=loud.py", "++stages.last._target_=stages.hello.Print"]
    shell.inline(*mine)
    assert shell.type("explain").stdout.count("nothing to do: all") == 5
    told = shell.type("explain", *mine, "stages.mine.mark=?", LOCAL, f"store={shell.store}").stdout
    assert re.search(r"mine +runs: differs from mine-\w{12} in 1 part\n +parameters.mark: default → \"\?\"", told)
    assert re.search(r"last +runs: mine before it changed", told)
    assert told.count("nothing to do") == 3


DIFFERENCES = [
    ({"a": 1}, {"a": 1}, []),
    ({"a": 1}, {"a": 2}, ["a: 1 → 2"]),
    ({}, {"a": 2}, ["a: default → 2"]),
    ({"stage": {"parameters": {"x": 1}}, "epoch": 0}, {"stage": {"parameters": {}}, "epoch": 1}, ["epoch: 0 → 1", "parameters.x: 1 → default"]),
    ({"stage": {"chain": [{"class": "m:A", "v": 1}]}}, {"stage": {"chain": [{"class": "m:A", "v": 2}]}}, ["chain.A.v: 1 → 2"]),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), DIFFERENCES)
def test_parts_differ_leaf_by_leaf(old: object, new: object, expected: list[str]) -> None:
    """Chains by class, the wrapping `stage` left out."""
    found = part_differences(old, new)
    assert sorted(expected) == sorted(found)


def test_the_latest_epoch_is_the_highest_number() -> None:
    """Not the longest name; other files are left alone."""
    assert latest_epochs(["a-1.2", "a-1.10", "b-2.1", "note", ".x"]) == {"a-1": 10, "b-2": 1}


# -- debug ------------------------------------------------------------------------------------------


def test_debug_stops_at_a_breakpoint(shell: Shell) -> None:
    """In a terminal: the prompt of pdb stands in the stage; the store is a scratch one."""
    (shell.cwd / "stop.py").write_text(
        LOUD.replace("        for task in tasks:", "        breakpoint()\n        for task in tasks:")
    )
    command = [
        sys.executable,
        "-m",
        "hpcurate",
        "+pipeline=words",
        "stages.mine.file=stop.py",
        "debug=true",
        "limit=1",
        f"store={shell.store}",
    ]
    environment = {**shell.environment, "TERM": "dumb", "TMPDIR": str(shell.folder)}
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, cwd=shell.cwd, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    told = read_until(ours, b"(Pdb) ")
    os.write(ours, b"p tasks[0].prompt\n")
    told += read_until(ours, b"(Pdb) ")
    os.write(ours, b"c\n")
    told += read_until(ours, b": complete")
    assert process.wait(30) == 0
    os.close(ours)
    assert b"for task in tasks" in told
    assert b"'the key to a creating good art is'" in told
    assert not shell.store.exists()


def read_until(descriptor: int, wanted: bytes) -> bytes:
    """What a terminal shows up to a text."""
    told = b""
    while wanted not in told:
        told += os.read(descriptor, 4096)
    return told


def test_debug_shows_the_traceback_of_what_fails(shell: Shell) -> None:
    """Without looking into logs."""
    (shell.cwd / "bad.py").write_text(
        LOUD.replace("        for task in tasks:", "        print(1 / 0)\n        for task in tasks:")
    )
    done = shell.type("+pipeline=words", "stages.mine.file=bad.py", "debug=true", "budget.failed=0", status=1)
    assert "ZeroDivisionError: division by zero" in done.stderr
    assert "print(1 / 0)" in done.stderr


def test_debug_writes_nothing_where_results_belong(shell: Shell) -> None:
    """Also where the command names an output."""
    (shell.cwd / "conf" / "pipeline").mkdir(parents=True)
    (shell.cwd / "conf" / "pipeline" / "records.yaml").write_text(
        "# @package _global_\nname: records\nsource: {_target_: hpcurate.source.Files, path: '${input}'}\n"
        "stages:\n  write: {_target_: stages.files.WriteJson, output: '${output}'}\n"
    )
    out = shell.folder / "out"
    words = ["+pipeline=records", f"input={shell.cwd / 'conf'}", f"output={out}", f"store={shell.store}"]
    done = shell.type(*words, "debug=true", TMPDIR=str(shell.folder))
    assert (False, False) == (out.exists(), shell.store.exists())
    assert len(list(shell.folder.glob("hpcurate-debug-*/runs/2*/output/**/*.json"))) == 1
    assert "scratch store" in done.stderr


def test_a_part_of_the_input_may_be_empty(shell: Shell) -> None:
    """Three tasks in seven parts: some have none, and are complete."""
    states = [shell.inline("+pipeline=words", f"part={i}/7").stdout.splitlines()[-1].split(": ")[1] for i in range(7)]
    assert states == ["complete"] * 7
    assert len({json.loads(row)["id"] for row in shell.rows("word_count")}) == 3


# -- stages that lie elsewhere ----------------------------------------------------------------------


def test_a_stage_from_a_loose_file_runs_with_its_neighbours(shell: Shell) -> None:
    """The file may import what lies beside it; both are frozen with the run."""
    elsewhere = shell.folder / "else where"
    elsewhere.mkdir()
    (elsewhere / "loud_help.py").write_text("MARK = '?!'\n")
    (elsewhere / "loud.py").write_text("from loud_help import MARK\n" + LOUD.replace("'!'", "MARK"))
    shell.run("+pipeline=words", f"stages.mine.file={elsewhere / 'loud.py'}")
    assert all(json.loads(row)["prompt"].endswith("?!") for row in shell.rows("mine"))
    assert list(shell.store.glob("runs/*/code-*/loud_help.py"))


WRONG_FILES = [
    ("nowhere.py", "", "there is no such file"),
    ("my-stage.py", LOUD, "must be that of a Python module"),
    ("json.py", LOUD, "another module is called 'json'"),
    ("none.py", "x = 1\n", "holds 0 stage classes"),
    ("two.py", LOUD + LOUD.replace("Loud", "Louder"), "holds 2 stage classes (Loud, Louder); name one with _target_"),
    ("broken.py", "def f(:\n", "cannot be imported: SyntaxError"),
]


@pytest.mark.parametrize(("name", "text", "told"), WRONG_FILES)
def test_a_loose_file_that_is_no_stage_is_refused(shell: Shell, name: str, text: str, told: str) -> None:
    """With the key, the file and the reason."""
    if text:
        (shell.folder / name).write_text(text)
    done = shell.run("+pipeline=words", f"stages.mine.file={shell.folder / name}", status=2)
    assert f"stages.mine.file={shell.folder / name}: " in done.stderr
    assert told in done.stderr


def test_one_of_several_classes_is_named(shell: Shell) -> None:
    """`_target_` beside `file`."""
    (shell.cwd / "two.py").write_text(LOUD + LOUD.replace("Loud", "Louder").replace("'!'", "'!!'"))
    shell.inline("+pipeline=words", "stages.mine.file=two.py", "stages.mine._target_=Louder")
    assert all(json.loads(row)["prompt"].endswith("!!") for row in shell.rows("mine"))


@pytest.mark.parametrize("package", [False, True])
def test_own_stages_stand_beside_ours_with_and_without_init(shell: Shell, package: bool) -> None:
    """A regular package `stages` of the user's would hide ours; here it does not."""
    (shell.cwd / "stages").mkdir()
    if package:
        (shell.cwd / "stages" / "__init__.py").write_text("MINE = True\n")
    (shell.cwd / "stages" / "loud.py").write_text(LOUD)
    shell.run("+pipeline=words", "stages.mine._target_=stages.loud.Loud")
    assert len(shell.rows("mine")) == 3


def test_an_init_that_raises_is_named(shell: Shell) -> None:
    """No traceback."""
    (shell.cwd / "stages").mkdir()
    (shell.cwd / "stages" / "__init__.py").write_text("import no_such_module\n")
    told = shell.run("+pipeline=words", status=2).stderr
    assert "stages/__init__.py cannot be imported: ModuleNotFoundError" in told
    assert "Traceback" not in told


def test_workers_read_the_frozen_code_not_the_current_folder(shell: Shell) -> None:
    """A stage edited after the start is not what runs (I3)."""
    (shell.cwd / "stages").mkdir()
    text = LOUD.replace(
        "    def process",
        f"    def setup(self, worker):\n        open({str(shell.folder / 'where')!r}, 'w').write(__file__)\n\n    def process",
    )
    (shell.cwd / "stages" / "loud.py").write_text(text)
    shell.run("+pipeline=words", "stages.mine._target_=stages.loud.Loud")
    assert "/code-" in (shell.folder / "where").read_text()


# -- init -------------------------------------------------------------------------------------------


def test_init_makes_a_project_that_runs_at_once(shell: Shell) -> None:
    """Pipeline, stage, and a test that passes; an edited stage runs again: it had a version and kept its old results."""
    told = shell.type("init", "my clips").stdout
    assert "next: cd 'my clips' && hpcurate +pipeline=my_clips store=store" in told
    shell.cwd = shell.cwd / "my clips"
    shell.store = shell.cwd / "store"
    shell.type("+pipeline=my_clips", "store=store", LOCAL)
    assert [json.loads(row)["words"] for row in shell.rows("count")] == [8, 4]
    assert [json.loads(row)["reason"] for row in shell.rows("count", "dropped.jsonl")] == ["too short"]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider"],  # -P: as plain `pytest` does
        cwd=shell.cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout
    stage = shell.cwd / "stages" / "my_clips.py"
    stage.write_text(stage.read_text().replace("len(Path(task.path).read_text().split())", "100"))
    assert "count: runs again" in shell.type("+pipeline=my_clips", "store=store", LOCAL).stderr


def test_init_touches_no_file_that_is_there(shell: Shell) -> None:
    """A second call is refused."""
    shell.type("init", "clips")
    (shell.cwd / "clips" / "stages" / "clips.py").write_text("mine")
    assert "already exists" in shell.type("init", "clips", status=2).stderr
    assert (shell.cwd / "clips" / "stages" / "clips.py").read_text() == "mine"


def test_init_refuses_a_name_that_is_no_module(shell: Shell) -> None:
    """With an example of one."""
    assert "--name My-Clips" in shell.type("init", "x", "--name", "My-Clips", status=2).stderr


@pytest.mark.parametrize("name", ["text", "words", "class"])
def test_init_hides_nothing_that_comes_with_hpcurate(shell: Shell, name: str) -> None:
    """`init text` made a stages/text.py, and `+pipeline=words` no longer found its own stages there."""
    assert f"+pipeline=my_{name}" in shell.type("init", name).stdout
    assert f"--name my_{name}" in shell.type("init", "x", "--name", name, status=2).stderr
