"""Input files of stages: kept with the run, or checked by each worker, so that no folder mixes two contents."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from shell import Shell
from unit_stages import Number, Tuned

import hpcurate
from hpcurate.errors import PipelineError
from hpcurate.planning.build import Step, build
from hpcurate.planning.inputs import COPIED_UP_TO
from hpcurate.runs.folder import Run
from hpcurate.runs.inputs import keep_inputs
from hpcurate.source import Items
from hpcurate.store.layout import Store

STAGE = """
from hpcurate import Stage
from hpcurate.spec import InputFile
from stages.hello import HelloTask

class Label(Stage[HelloTask, HelloTask]):
    version = 1
    batch_size = 1

    def __init__(self, labels: InputFile, more: list[InputFile] = [], edit: str = "") -> None:
        self.labels, self.more, self.edit = labels, more, edit

    def process(self, tasks):
        for task in tasks:
            task.prompt = "".join(open(file).read(9) for file in [self.labels, *self.more])
        if self.edit:
            with open(self.edit, "r+") as file:
                file.write("dog")
        return tasks
"""
WORDS = ["+pipeline=words", "stages.label.file=label.py", "stages.label.after=[]", "stages.lower_case.after=[label]"]
WORDS += ["~stages.show"]


@pytest.fixture
def project(shell: Shell) -> Shell:
    """A stage that reads labels, and labels."""
    (shell.cwd / "label.py").write_text(STAGE)
    (shell.cwd / "labels.txt").write_text("cat\n")
    (shell.cwd / "more.txt").write_text("mouse")
    return shell


def prompts(shell: Shell) -> set[str]:
    """What the stage read, over all its folders."""
    return {json.loads(row)["prompt"] for row in shell.rows("label")}


def test_a_run_has_its_own_copy_of_an_input_file(project: Shell) -> None:
    """It read the file of that name: what was edited while it ran was mixed into the same folder."""
    edited = project.cwd / "labels.txt"
    words = [*WORDS, "stages.label.labels=labels.txt", "stages.label.more=[more.txt]", f"stages.label.edit={edited}"]
    project.run(*words, "stages.label.shard_tasks=1")
    assert ({"cat\nmouse"}, "dog\n") == (prompts(project), edited.read_text())
    copies = sorted(path.name for path in project.store.glob("runs/2*/inputs/*/*"))
    assert ["labels.txt", "more.txt"] == copies
    assert {0o400} == {path.stat().st_mode & 0o777 for path in project.store.glob("runs/2*/inputs/*/*")}


def test_the_same_command_with_an_edited_input_file_is_another_stage(project: Shell) -> None:
    """As before: by content, not by name."""
    words = [*WORDS, "stages.label.labels=labels.txt"]
    project.inline(*words)
    assert "nothing to do" in project.inline(*words).stderr
    (project.cwd / "labels.txt").write_text("dog\n")
    project.inline(*words)
    assert {"cat\n", "dog\n"} == prompts(project)


def test_a_large_input_file_is_checked_when_a_worker_starts(project: Shell) -> None:
    """It was not: a worker of a later round read the new content into the old folder."""
    large = project.cwd / "labels.bin"
    large.write_bytes(b"cat")
    os.truncate(large, COPIED_UP_TO + 1)
    words = [*WORDS, "stages.label.labels=labels.bin", "stages.label.workers=1", "stages.label.shard_tasks=1"]
    crash = STAGE + (
        "\n    def setup(self, worker):\n        with open(self.labels, 'r+') as file:\n            file.write('dog')\n"
        "        raise RuntimeError('the first worker')\n"
    )  # fmt: skip
    (project.cwd / "label.py").write_text(crash)
    stalled = project.run(*words, status=1)
    told = stalled.stdout + stalled.stderr
    assert f"stages.label.labels={large}: it has another content than when the run was submitted; put it back" in told
    assert [] == project.rows("label")
    assert [] == list(project.store.glob("runs/2*/inputs/*/*"))


def test_an_input_file_that_changes_between_planning_and_copying_is_refused(tmp_path: Path) -> None:
    """Its copy would not be what the stage is identified by."""
    (tmp_path / "labels.txt").write_text("cat\n")
    steps = {"a": Step(Tuned(labels=str(tmp_path / "labels.txt")))}  # type: ignore[arg-type]
    pipeline = build("p", Items((Number(id="n", value=1),)), steps)
    (tmp_path / "labels.txt").write_text("dog\n")
    run = Run(Store(str(tmp_path)), "r")
    with pytest.raises(
        PipelineError, match=r"stages\.a\.labels=.*labels.txt: it changed while the run was being started"
    ):
        keep_inputs(run, pipeline)


def test_python_keeps_input_files_too(tmp_path: Path) -> None:
    """`hpcurate.run(...)` is the same engine."""
    (tmp_path / "labels.txt").write_text("cat\n")
    done = hpcurate.run(
        [Tuned(labels=str(tmp_path / "labels.txt"))], [Number(id="n", value=1)], store=tmp_path / "s", launcher="inline"  # type: ignore[arg-type]
    )  # fmt: skip
    assert ["labels.txt"] == [path.name for path in Path(done.run.path).glob("inputs/*/*")]
