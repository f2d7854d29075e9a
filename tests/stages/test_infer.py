"""`stages.infer`: any class with `infer(request) → result` as a stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpcurate import FileTask, Record
from hpcurate.errors import PipelineError
from hpcurate.planning.fingerprint import stage_identity
from hpcurate.source.base import RecordTask
from hpcurate.spec import from_spec, to_spec
from hpcurate.testing import Outcome, try_stage
from stages.infer import Infer, InferTask


def tried(name: str, folder: Path, *requests: dict[str, Any], **parameters: Any) -> Outcome:
    """What became of these requests to a class of infer_models."""
    tasks = [InferTask(id=f"r{number}", request=request) for number, request in enumerate(requests)]
    return try_stage(Infer(f"infer_models.{name}", parameters), tasks, folder)


def texts(record: Record) -> dict[str, str]:
    """Its files, by name."""
    return {name: Path(file).read_text() for name, file in record.files.items()}


def test_files_in_its_folder_are_the_result(tmp_path: Path) -> None:
    """Each request has a folder of its own; the class is constructed with its parameters; `validate` is asked."""
    done = tried("Draws", tmp_path, {"prompt": "a", "count": 2}, {"prompt": "b"}, ink="red")
    assert [{"more/0.txt": "a in red", "more/1.txt": "a in red"}, {"more/0.txt": "b in red"}] == [
        texts(task) for task in done.tasks
    ]
    assert ["r0", "r1"] == [task.id for task in done.tasks]


def test_a_factory_makes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the environment of its process."""
    monkeypatch.setenv("INK", "gold")
    assert {"more/0.txt": "a in gold"} == texts(tried("draws_in_blue", tmp_path / "1", {"prompt": "a"}).tasks[0])
    assert {"more/0.txt": "a in grey"} == texts(tried("draws_something", tmp_path / "2", {"prompt": "a"}).tasks[0])


def test_what_is_wrong_fails_that_request_alone(tmp_path: Path) -> None:
    """What `infer` raises, what `validate` raises, a field that is not there: each with its message."""
    done = tried("Words", tmp_path / "1", {"prompt": "fail"}, {"promt": "a"}, {"prompt": "a", "steps": 2})
    assert [{"said": "a", "steps": 2, "style": "lines", "picture": None}] == [task.values for task in done.tasks]
    assert [{"said.txt": "a"}] == [texts(task) for task in done.tasks]
    said = {one["id"]: (one["error"], one["message"]) for one in done.failed}
    assert ("ValueError", "this cannot be drawn") == said["r0"]
    assert "did you mean 'prompt'?" in said["r1"][1]
    assert "prompt: write what to draw" in tried("Draws", tmp_path / "2", {}).failed[0]["message"]


def test_nobody_chooses_the_folder(tmp_path: Path) -> None:
    """A request that names another one writes into its own all the same."""
    done = tried("Words", tmp_path / "1", {"prompt": "a", "output_dir": str(tmp_path)})
    assert {"said.txt": "a"} == texts(done.tasks[0])
    assert not (tmp_path / "said.txt").exists()


@pytest.mark.parametrize("what", ["link", "array"])
def test_results_that_are_refused(what: str, tmp_path: Path) -> None:
    """They fail the task; no link gives away what it leads to."""
    done = tried("Returns", tmp_path, {"value": 1}, what=what)
    assert ([], 1) == (done.tasks, len(done.failed))
    assert not list(done.folder.rglob("passwd"))


def test_a_result_without_files_leaves_no_folder(tmp_path: Path) -> None:
    """Nothing of it stays beside the row."""
    done = tried("Typed", tmp_path, {"prompt": "a"})
    assert [{"text": "a 0 [64]", "picture": None}] == [task.values for task in done.tasks]
    assert [] == [path for path in done.folder.rglob("*") if path.is_dir() and path.name == "output"]


def test_rows_and_files_are_requests_too(tmp_path: Path) -> None:
    """The columns of a row; of other tasks the fields that `infer` takes."""
    row = RecordTask(id="r", data={"prompt": "a", "seed": 4})
    assert [{"text": "a 4 [64]", "picture": None}] == [
        task.values for task in try_stage(Infer("infer_models:Typed"), [row], tmp_path / "1").tasks
    ]
    record = Record(id="r", values={"prompt": "a", "motion": 0.5})
    assert ["a"] == [
        task.values["said"] for task in try_stage(Infer("infer_models:Words"), [record], tmp_path / "2").tasks
    ]
    file = FileTask(id="f", source="a.mp4", path="/data/a.mp4", size=1, mtime_ns=0)
    done = try_stage(Infer("infer_models:Returns"), [file], tmp_path / "3")
    assert ["KeyError"] == [one["error"] for one in done.failed], "a dict is given all fields, and value is none"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("Draws", "expected module.Class"),
        ("infer_models:NoSuch", "no attribute 'NoSuch'"),
        ("infer_models.Nothing", "has no infer"),
        ("no_such_module.Class", "No module named"),
        ("./no_such_file.py:Class", "there is no such file"),
    ],
)
def test_a_target_that_is_none(target: str, said: str) -> None:
    """Where it was looked for, or what it lacks."""
    with pytest.raises(PipelineError, match=said):
        Infer(target).setup(None)  # type: ignore[arg-type]


def test_a_file_is_named_by_its_module(tmp_path: Path) -> None:
    """It is read, not run, to find the one class with `infer`; constructed again, it needs no file."""
    (tmp_path / "drawing_file.py").write_text(
        "raise RuntimeError\nclass A:\n    def infer(self, args): ...\nclass B: ...\n"
    )
    stage = Infer(str(tmp_path / "drawing_file.py"))
    spec = to_spec(stage)
    assert {"target": "drawing_file:A"} == spec.parameters
    assert "drawing_file:A" == from_spec(spec).infer_target  # type: ignore[attr-defined]
    (tmp_path / "drawing_file.py").write_text(
        "class A:\n    def infer(self): ...\nclass B(A):\n    def infer(self): ...\n"
    )
    with pytest.raises(PipelineError, match=r"2 classes with infer \(A, B\)"):
        Infer(str(tmp_path / "drawing_file.py"))


def test_another_model_is_another_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So an edit of the class, or of what it imports, redoes what it made."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "drawn_helper.py").write_text("COLOUR = 1\n")
    (tmp_path / "drawn_model.py").write_text("import drawn_helper\nclass A:\n    def infer(self, args): ...\n")
    before = stage_identity(Infer("drawn_model:A"))
    assert {"drawn_helper.py", "drawn_model.py"} == before["code"].keys()
    (tmp_path / "drawn_helper.py").write_text("COLOUR = 2\n")
    assert before != stage_identity(Infer("drawn_model:A"))
