"""`hpcurate replay`: a stage of a run once more, compared with what the run has committed of it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from measured import edit, measured_run
from shell import Shell

HERE = "launcher=inline"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """The run that all replays are of."""
    return measured_run(tmp_path_factory.mktemp("replayed"))


@pytest.fixture
def editable(measured: Shell) -> Iterator[Shell]:
    """The same, with the stages as they were afterwards."""
    path = measured.cwd / "stages" / "measured.py"
    before = path.read_text()
    yield measured
    path.write_text(before)


def replayed(shell: Shell, *words: str, status: int = 0) -> dict[str, Any]:
    """What a replay in this process reports."""
    done = shell.type("replay", *words, HERE, "--json", "--store", str(shell.store), status=status)
    plain: dict[str, Any] = json.loads(done.stdout)
    return plain


def refused(shell: Shell, *words: str) -> str:
    """What a replay is refused with."""
    return shell.type("replay", *words, HERE, "--store", str(shell.store), status=2).stderr


def counts(plain: dict[str, Any]) -> tuple[int, ...]:
    """Same, changed, missing, additional."""
    return tuple(plain[name] for name in ("same", "changed", "missing", "additional"))


def tree(folder: Path) -> dict[str, int]:
    """Everything in a store but what looking writes."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != "summary.json")
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in found}


def test_a_planted_change_of_one_field_in_one_of_200_is_found(editable: Shell, tmp_path: Path) -> None:
    """Exactly this id, and this field; with the code of the run, nothing differs. In a stage process of its own."""
    scratch = tmp_path / "scratch"
    replay = ("replay", "measure", "--of", "latest", "--store", str(editable.store))
    before = tree(editable.store)
    edit(editable, "length / 3", "length / 3 + (length == 123) / 1e6")
    plain = json.loads(editable.type(*replay, "--json", status=1).stdout)
    assert (199, 1, 0, 0) == counts(plain)
    (change,) = plain["changes"]
    (difference,) = change["differences"]
    rows = [json.loads(row) for row in editable.rows("measure")]
    assert [change["id"]] == [row["id"] for row in rows if row["source"] == "123.txt"]
    assert ("123.txt", "score", "41.0", "41.000001") == (
        change["name"], difference["field"], difference["before"], difference["after"],
    )  # fmt: skip
    assert before == tree(editable.store)
    assert (200, 0, 0, 0) == counts(replayed(editable, "measure", "--of", "latest", "--tolerance", "score=1e-5"))
    scratch.mkdir()
    said = editable.type(*replay, HERE, "--frozen", TMPDIR=str(scratch)).stdout
    assert [] == [name for name in os.listdir(scratch) if name.startswith("hpcurate-replay-")]
    assert "200 same, 0 changed, 0 missing, 0 additional" in said
    assert "before: 197 passed on, 2 dropped, 1 failed\nnow:    197 passed on, 2 dropped, 1 failed" in said


def test_what_a_stage_writes_and_how_its_tasks_end_is_compared(editable: Shell) -> None:
    """Files by content, drops and failures by their reasons; children by their ids."""
    edit(editable, '{"length": length}', '{"length": length + (length == 50)}')
    edit(editable, 'ValueError(f"{doc.text.path}', 'TypeError(f"{doc.text.path}')
    edit(editable, "length < self.least", "length < self.least - 1")
    plain = replayed(editable, "measure", "--of", "latest", status=1)
    found = {change["name"]: change["differences"] for change in plain["changes"]}
    assert {"2.txt", "17.txt", "50.txt"} == found.keys()
    assert ["found", "length: 50 → 51"] == [found["50.txt"][0][key] for key in ("field", "more")]
    assert ["(ended as)", "dropped: too short", "passed on"] == list(found["2.txt"][0].values())[:3]
    assert ["error", '"ValueError"', '"TypeError"'] == list(found["17.txt"][0].values())[:3]
    edit(editable, "source=task.source", "id=task.id[::-1], source=task.source")
    assert (0, 0, 3, 3) == counts(replayed(editable, "read", "--of", "latest", "--tasks", "first", "3", status=1))


def test_tasks_are_chosen_by_number_name_or_id(measured: Shell) -> None:
    """In the order of the input; what means none or several is refused."""
    rows = [json.loads(row) for row in measured.rows("read")]
    ids = [row["id"] for row in rows if row["source"] in ("17.txt", "2.txt", "99.txt")]
    words = [ids[0], ids[1][:13], "99.txt"]
    plain = replayed(measured, "measure", "--of", "latest", "--tasks", *words)
    assert ((3, 0, 0, 0), 3, 200) == (counts(plain), plain["tasks"], plain["of"])
    assert "was given no such task" in refused(measured, "measure", "--of", "latest", "--tasks", "nobody")
    assert "fits 11 tasks" in refused(measured, "measure", "--of", "latest", "--tasks", "/9", "first")
    assert "expected a number" in refused(measured, "measure", "--of", "latest", "--tasks", "first", "all")


def test_a_golden_folder_needs_no_run(editable: Shell, tmp_path: Path) -> None:
    """Tasks, files and what came of them, on another machine; kept again where the change is meant."""
    golden, words = tmp_path / "golden", ("--tasks", "17.txt", "1.txt", "60.txt", "--save")
    assert (3, 0, 0, 0) == counts(replayed(editable, "measure", "--of", "latest", "--golden", str(golden), *words))
    kept = {path: path.read_bytes() for path in golden.rglob("*") if path.is_file()}
    assert str(editable.folder).encode() not in b"".join(kept.values())
    moved, other = Path(shutil.copytree(golden, tmp_path / "moved")), Shell(tmp_path)
    shutil.copytree(editable.cwd / "stages", other.cwd / "stages")
    done = other.type("replay", "measure", HERE, "--golden", str(moved), "--json")
    assert (3, 0, 0, 0) == counts(json.loads(done.stdout))
    assert not other.store.exists()
    edit(other, "length / 3", "length / 4")
    replay = ("replay", "measure", HERE, "--golden", str(moved))
    assert "score: 20.0 → 15.0" in other.type(*replay, "--save").stdout
    assert "3 same" in other.type(*replay).stdout


def test_what_cannot_be_replayed_is_refused_before_anything_starts(measured: Shell, tmp_path: Path) -> None:
    """With what was expected, and what to type."""
    of = ("--of", "latest")
    assert "did you mean 'measure'" in refused(measured, "measur", *of)
    assert (
        "launcher=cloud: expected one of inline, local, slurm"
        in measured.type("replay", "measure", *of, "launcher=cloud", "--store", str(measured.store), status=2).stderr
    )
    assert "in which folder? add --golden FOLDER" in refused(measured, "measure", *of, "--save")
    assert "no golden folder" in refused(measured, "measure", *of, "--golden", str(tmp_path))
    assert "expected FIELD=NUMBER" in refused(measured, "measure", *of, "--tolerance", "score")
    assert "lest: " in refused(measured, "measure", "stages.measure.lest=4", *of)
    assert "expected a setting of measure" in refused(measured, "measure", "shard_tasks.x=1", *of)
    assert "a run is named by --of 2026" in refused(measured, "measure", "2026", *of)
    (tmp_path / "x").touch()
    assert "is not empty" in refused(measured, "measure", *of, "--work", str(tmp_path))
    assert "is of the stage read" in _of_another_stage(measured, tmp_path / "golden")


def _of_another_stage(shell: Shell, golden: Path) -> str:
    replayed(shell, "read", "--of", "latest", "--golden", str(golden), "--save", "--tasks", "first", "1")
    return refused(shell, "measure", "--golden", str(golden))


def test_a_stage_that_stalls_leaves_its_scratch_store_to_look_into(editable: Shell, tmp_path: Path) -> None:
    """It is no difference, and no traceback: exit status 1 and the command that says why."""
    work = tmp_path / "work"
    replay = ("replay", "measure", "--of", "latest", "--tasks", "first", "2", HERE, "--store", str(editable.store))
    edit(editable, "    def process(self, tasks):\n        return [doc", "    def setup(self, worker):\n        1 / 0\n\n"
         "    def process(self, tasks):\n        return [doc")  # fmt: skip
    said = editable.type(*replay, "--work", str(work), status=1).stderr
    assert "the replay is stalled" in said
    assert "ZeroDivisionError" in editable.type("why", "--store", str(work)).stdout


def test_files_that_are_gone_are_named(editable: Shell, tmp_path: Path) -> None:
    """Those that the stage read: without them each task would fail. Those of before are counted."""
    store = Path(shutil.copytree(editable.store, tmp_path / "store", symlinks=True))
    replay = ("replay", "measure", "--of", "latest", HERE, "--store", str(store))
    for path in store.glob("stages/measure-*/shards/*/*/files"):
        shutil.rmtree(path)
    assert "197 files of before: no longer there, so not compared" in editable.type(*replay).stdout
    next(store.glob("stages/read-*/shards/*/*/files/*/text.txt")).unlink()
    said = editable.type(*replay, status=2).stderr
    assert "1 file that the stage read" in said
