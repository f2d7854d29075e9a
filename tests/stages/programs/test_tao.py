"""`+pipeline=tao`: a DAG of programs from pictures to what a device runs, and the programs themselves."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from shell import Shell

from stages.programs.tao import main

LATER = ("reevaluate", "infer", "export", "calibrate", "export_int8", "engine")


def values(shell: Shell, stage: str) -> list[dict[str, float]]:
    """What its programs have measured, of each folder of the stage."""
    return [json.loads(row)["values"] for row in shell.rows(stage)]


def test_the_whole_dag(shell: Shell) -> None:
    """Each step has what it needs of those before it; another threshold of the pruning does it again, and what follows.

    The key is in no file of the store.
    """
    shell.extra = {"TAO_KEY": "the-key-of-the-models"}
    shell.inline("+pipeline=tao")
    (retrained,) = values(shell, "retrain")
    assert {"pictures": 300, "kept": 0.6875} == {name: retrained[name] for name in ("pictures", "kept")}
    (evaluated,), (again,) = values(shell, "evaluate"), values(shell, "reevaluate")
    assert 0.7 < evaluated["map"] <= again["map"] < 1
    assert [{"inferred": 60}] == [{"inferred": each["inferred"]} for each in values(shell, "infer")]
    (engine,) = shell.store.glob("stages/engine-*/shards/*/*/files/*/final_model.trt")
    assert b'"precision": "int8"' in engine.read_bytes()

    other = ("params.prune_threshold=0.8", "params.prune_criterion=intersection")
    shell.inline("+pipeline=tao", *other, *(f"~stages.{name}" for name in LATER))
    folders = Counter(path.name.rpartition("-")[0] for path in shell.store.glob("stages/[a-z]*"))
    assert {"prune", "retrain"} == {name for name, count in folders.items() if count > 1}
    assert {0.6875, 0.125} == {each["kept"] for each in values(shell, "prune")}
    assert [] == [path for path in shell.store.rglob("*") if path.is_file() and b"the-key-of" in path.read_bytes()]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Pictures, their records and a model that knows nothing yet."""
    for step in (
        "dataset --classes car,person --pictures 5 --seed 1 --data data",
        "convert --data data --records records",
        "pull --name resnet18 --classes car,person --model model",
    ):
        assert 0 == tao(tmp_path, step)
    return tmp_path


def tao(folder: Path, step: str) -> int:
    """The exit status of a step: its options without `.` or digits in them are files of the folder."""
    words = step.split()
    files = {"data", "records", "model", "pruned", "trained"}
    return main([str(folder / word) if word in files else word for word in words])


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("prune --model model --threshold 2 --criterion union --pruned pruned", "nothing of the model would be left"),
        ("evaluate --model records --records records", "records"),
        ("convert --data records --records data", "records"),
        ("evaluate --model model --records records", "val-00000.records: a record at byte 81 is damaged"),
    ],
)
def test_a_step_that_cannot_be_done_says_why(
    made: Path, capsys: pytest.CaptureFixture[str], step: str, said: str
) -> None:
    """Exit status 1, and a line."""
    for path in (made / "records").glob("*.records"):
        data = bytearray(path.read_bytes())
        data[-5] ^= 1
        path.write_bytes(data)
    assert 1 == tao(made, step)
    assert said in capsys.readouterr().err


def test_a_model_opens_with_its_key_alone(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it does in the toolkit."""
    monkeypatch.setenv("TAO_KEY", "another")
    assert 1 == tao(made, "evaluate --model model --records records")
    assert "was written with another key (TAO_KEY)" in capsys.readouterr().err
