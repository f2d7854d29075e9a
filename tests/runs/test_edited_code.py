"""Edited code: without a version the stage runs again, with one the change is reported; both say which file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from shell import Shell
from training_stages import Model, Train

from hpcurate.planning.build import Step, build
from hpcurate.runs.explanation import code_changes, explain
from hpcurate.runs.reconcile import StageView
from hpcurate.source.items import Items
from hpcurate.store.layout import Store

STAGE = """
from hpcurate import Stage
from stages.hello import HelloTask
from shouting.loud import louder

class Shout(Stage[HelloTask, HelloTask]):
    VERSION

    def process(self, tasks):
        for task in tasks:
            task.prompt = louder(task.prompt)
        return tasks
"""
WORDS = ["+pipeline=words", "stages.shout.file=shout.py", "stages.shout.after=[]", "stages.lower_case.after=[shout]"]
WORDS += ["~stages.show"]


@pytest.fixture
def project(shell: Shell) -> Shell:
    """A stage in a file of its own, whose work is done in a package beside it."""
    (shell.cwd / "shouting").mkdir()
    (shell.cwd / "shouting" / "__init__.py").write_text("")
    write(shell, "pass", "'!'")
    return shell


def write(shell: Shell, version: str, mark: str, before: str = "") -> None:
    """The stage, and what its helper adds."""
    (shell.cwd / "shout.py").write_text(STAGE.replace("VERSION", version))
    (shell.cwd / "shouting" / "loud.py").write_text(f"{before}\n\ndef louder(text):\n    return text + {mark}\n")


def test_an_edited_helper_of_a_stage_without_a_version_runs_it_again(project: Shell) -> None:
    """It kept the old results and said "nothing to do": only the module of the class itself counted."""
    project.run(*WORDS)
    write(project, "pass", "'?'", before="# a comment changes nothing")
    again = project.run(*WORDS)
    assert "shout: runs again, it differs from shout-" in again.stderr
    assert "code: shouting/loud.py differs" in again.stderr
    assert {"!", "?"} == {json.loads(row)["prompt"][-1] for row in project.rows("shout")}
    assert "nothing to do" in project.run(*WORDS).stderr


def test_comments_in_a_helper_run_nothing_again(project: Shell) -> None:
    """As in the module itself."""
    project.inline(*WORDS)
    write(project, "pass", "'!'", before="# a comment")
    assert "nothing to do" in project.inline(*WORDS).stderr


def test_explain_names_the_module(project: Shell) -> None:
    """Also one that is new, before anything runs."""
    project.inline(*WORDS)
    write(project, "pass", "'!'", before="import more")
    (project.cwd / "more.py").write_text("x = 1\n")
    words = [*WORDS, "launcher=local", f"store={project.store}"]
    found = project.type("explain", *words).stdout
    assert "code: more.py is now part of it" in found
    assert "code: shouting/loud.py differs" in found
    (stage_json,) = project.store.glob("stages/shout-*/stage.json")
    assert ["shouting/loud.py"] == list(json.loads(stage_json.read_text())["parts"]["stage"]["code"])


def test_a_store_of_before_names_what_runs_again_and_why(project: Shell) -> None:
    """Its `stage.json` has the module of the class alone: the same code is now identified by all of it."""
    project.inline(*WORDS)
    (stage_json,) = project.store.glob("stages/shout-*/stage.json")
    plain = json.loads(stage_json.read_text())
    del plain["parts"]["stage"]["code"]
    old = stage_json.parent.with_name("shout-000000000000")
    stage_json.parent.rename(old)
    (old / "stage.json").chmod(0o644)
    (old / "stage.json").write_text(json.dumps(plain))
    started = project.inline(*WORDS).stderr
    assert "it differs from shout-000000000000: code: shouting/loud.py is now part of it" in started


def test_edited_code_of_a_stage_with_a_version_is_reported_and_keeps_its_results(project: Shell) -> None:
    """Nothing said so: old results stayed without a word."""
    write(project, "version = 1", "'!'")
    project.inline(*WORDS)
    write(project, "version = 1", "'?'")
    words = [*WORDS, "launcher=local", f"store={project.store}"]
    for told in (project.inline(*WORDS).stderr, project.type("explain", *words).stdout):
        assert "code: shouting/loud.py differs; its version is the same, so what is committed stays" in told
        assert "raise `version`, or type rerun=shout, if the output changes meaning" in told
    assert {"!"} == {json.loads(row)["prompt"][-1] for row in project.rows("shout")}
    write(project, "version = 2", "'?'")
    assert "its version is the same" not in project.inline(*WORDS).stderr
    assert {"!", "?"} == {json.loads(row)["prompt"][-1] for row in project.rows("shout")}


def test_a_fixed_stage_without_a_version_runs_again_with_the_same_command(project: Shell) -> None:
    """What README and the recovery page say: dead letters are results, and the fixed code is another stage."""
    write(project, "pass", "None")
    project.inline(*WORDS, status=1)
    write(project, "pass", "'!'")
    assert "complete" in project.inline(*WORDS).stdout


def test_a_fixed_stage_with_a_version_needs_rerun(project: Shell) -> None:
    """The same command does not try dead letters again, and says which file differs."""
    write(project, "version = 1", "None")
    project.inline(*WORDS, status=1)
    write(project, "version = 1", "'!'")
    again = project.inline(*WORDS, status=1).stderr
    assert "code: shouting/loud.py differs; its version is the same, so what is committed stays" in again
    assert "complete" in project.inline(*WORDS, "rerun=shout").stdout


SELF_EDITING = """
import attrs
from hpcurate.source import Files

@attrs.define(frozen=True, kw_only=True)
class Edited(Files):
    def tasks(self):
        with open("shouting/loud.py", "a") as file:
            file.write("more = 1\\n")
        yield from super().tasks()
"""


@pytest.mark.parametrize("version", ["pass", "version = 1"])
def test_code_that_is_edited_while_a_long_listing_runs_is_refused(project: Shell, version: str) -> None:
    """The stage was identified by the old code, and the copy that ran was of the new one."""
    write(project, version, "'!'")
    (project.cwd / "editing.py").write_text(SELF_EDITING.replace("\\\\", "\\"))
    words = [*WORDS, "source._target_=editing.Edited", "source.path=shout.py", "~source.prompts", "~stages.word_count"]
    stage = (project.cwd / "shout.py").read_text()
    stage = stage.replace("from stages.hello import HelloTask", "from hpcurate import FileTask").replace(
        "HelloTask", "FileTask"
    )
    (project.cwd / "shout.py").write_text(stage)
    refused = project.run(*words, "~stages.lower_case", status=2).stderr
    assert "stages.shout: its code, or a file that it reads, was edited while the run was being started" in refused
    assert [] == list(project.store.glob("stages/shout-*"))


def test_a_store_without_recorded_code_is_continued_without_a_word(project: Shell) -> None:
    """What it was begun with is not known."""
    write(project, "version = 1", "'!'")
    project.run(*WORDS)
    (stage_json,) = project.store.glob("stages/shout-*/stage.json")
    plain = json.loads(stage_json.read_text())
    assert ["shout.py", "shouting/loud.py"] == list(plain.pop("code"))
    stage_json.chmod(0o644)
    stage_json.write_text(json.dumps(plain))
    write(project, "version = 1", "'?'")
    again = project.run(*WORDS).stderr
    assert ("nothing to do" in again, "code:" in again) == (True, False)


def test_checkpoints_of_another_version_are_named_before_anything_starts(tmp_path: Path) -> None:
    """They lie in another folder, so a training begins from the start: days later somebody would have found that out."""
    planned = [build("p", Items([Model(id="m")]), {"train": Step(Train("stops", last))}) for last in (4, 8)]
    store, old = Store(str(tmp_path)), planned[0].stages[0]
    Path(store.stage(old.folder).checkpoint("0001-000000", 2)).mkdir(parents=True)
    Path(store.stage(old.folder).stage_json).write_text(json.dumps({"parts": old.identity}))
    assert [
        f"train: checkpoints: begins from the start; those of 1 shard in {old.folder} are of another version, and stay there"
    ] == code_changes(store, planned[1])
    (said,) = explain(store, planned[1], [StageView(name="train", ready=True)])
    assert ["parameters.last: default → 8", "checkpoints: begins from"] == [
        said.differences[0],
        said.differences[1][:24],
    ]
    assert ["train: checkpoints: of 1 shard, to go on from"] == code_changes(store, planned[0]), "after a Ctrl-C, too"
