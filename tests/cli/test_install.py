"""`hpcurate install`: all that a pipeline needs and a store lacks, by the command that a refused run names."""

from __future__ import annotations

import hashlib
import re
import shlex
from pathlib import Path

import pytest
from conda_project import channel, there  # noqa: F401 - fixtures
from shell import Shell

import hpcurate
from hpcurate.model import ModelRef
from hpcurate.planning.missing import NotInstalled
from stages.hello import LowerCase, Prompts

STAGES = (
    "from hpcurate import FileTask, Stage\nfrom hpcurate.model import ModelRef\n\n\n"
    "class Reads(Stage[FileTask, FileTask]):\n"
    "    model = ModelRef('folder')\n\n"
    "    def process(self, tasks):\n"
    "        for task in tasks:\n            task.source = (self.model.path / 'text').read_text()\n"
    "        return tasks\n\n\n"
    "class ReadsFile(Reads):\n    model = ModelRef('file')\n"
)
PIPELINE = (
    "# @package _global_\nname: two\nsource: {_target_: hpcurate.source.Files, path: '${input}'}\n"
    "stages: {one: {file: reads.py, _target_: Reads}, two: {file: reads.py, _target_: ReadsFile}}\n"
)


@pytest.fixture
def project(shell: Shell) -> Shell:
    """A pipeline of two stages with weights: of a folder, and behind an address."""
    weights = shell.folder / "theirs"
    weights.mkdir()
    (weights / "text").write_text("from the folder")
    (shell.cwd / "conf" / "models").mkdir(parents=True)
    (shell.cwd / "conf" / "pipeline").mkdir()
    (shell.cwd / "conf" / "models" / "folder.yaml").write_text(f"path: {weights}\nsize: 1MB\nuntried: true\n")
    digest = hashlib.sha256(b"from the folder").hexdigest()
    (shell.cwd / "conf" / "models" / "file.yaml").write_text(f"url: file://{weights}/text\nsha256: {digest}\n")
    (shell.cwd / "conf" / "pipeline" / "two.yaml").write_text(PIPELINE)
    (shell.cwd / "reads.py").write_text(STAGES)
    return shell


def test_a_run_that_lacks_something_names_the_command_that_installs_it_all(project: Shell) -> None:
    """Before, one thing after the other was named, each with another command; install does what the message says."""
    words = ["+pipeline=two", f"input={project.folder}/theirs", "stages.one.resources.memory=1 GB"]
    refusal = project.inline(*words, status=2).stderr
    assert "stages.one: model folder: its weights (" in refusal
    assert "stages.two: model file: its weights (" in refusal
    assert not project.store.exists()
    command = shlex.split(re.search("type `hpcurate (.*)`", refusal)[1])  # type: ignore[index]
    assert ["install", *words, "launcher=inline", f"store={project.store}"] == command
    listed = project.type(*command, "--dry-run").stdout
    assert re.search(r"model folder +\S+ +1MB +to fetch, untried\n", listed)
    assert re.search(r"model file +\S+ +unknown +to fetch\n", listed)
    assert "to fetch: 1 MiB, and what has no size here" in listed
    assert not project.store.exists()
    assert "everything is there" in project.type(*command).stderr
    assert "untried: nobody has run a stage with these weights" in project.inline(*words).stderr
    assert 1 == len(project.rows("two"))


def test_what_cannot_be_had_does_not_keep_the_rest_away(project: Shell) -> None:
    """Neither a missing folder nor input= that is not known yet; what is there already stays, and is looked at."""
    (project.folder / "theirs").rename(project.folder / "moved")
    moved = f"models.file.url=file://{project.folder}/moved/text"
    done = project.type("install", "+pipeline=two", moved, "--store", str(project.store), status=1)
    assert "model folder: path=" in done.stderr
    (project.folder / "moved").rename(project.folder / "theirs")
    again = project.type("install", "+pipeline=two", moved, "--store", str(project.store))
    assert re.search(r"model file +\S+ +[0-9]+ k?B +there\n", again.stdout)
    assert "everything is there" in again.stderr
    (text,) = project.store.glob("weights/text@*/text")
    text.chmod(0o644)
    text.write_text("cut")
    damaged = project.type("install", "+pipeline=two", "--store", str(project.store), status=1)
    assert "model file: text: 3 bytes, expected 15; type hpcurate models remove file" in damaged.stderr
    assert "everything is there" not in damaged.stderr


def test_environments_are_built_too(there: Shell) -> None:  # noqa: F811
    """Locked, built, packed if a stage takes it to the nodes; the run then starts."""
    words = ["+pipeline=tell", f"input={there.cwd}/tell.py", f"store={there.store}", "launcher=inline"]
    assert "env=tiny: is not" in there.type(*words, status=2).stderr
    done = there.type("install", *words)
    assert re.search(r"env tiny +tiny +- +to build\n", done.stdout)
    assert "env=tiny: is not built in this store" in done.stdout
    assert "everything is there" in done.stderr
    assert re.search(r"env tiny +\S+ +- +there\n", there.type("install", *words).stdout)


def test_from_python_each_is_named_with_its_own_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no command line that could be repeated."""
    (tmp_path / "conf" / "models").mkdir(parents=True)
    for name in ("a", "b"):
        (tmp_path / "conf" / "models" / f"{name}.yaml").write_text(f"path: /nowhere/{name}\n")
    monkeypatch.chdir(tmp_path)

    class One(LowerCase):
        model = ModelRef("a")

    class Two(LowerCase):
        model = ModelRef("b")

    with pytest.raises(NotInstalled) as caught:
        hpcurate.run([One(), Two()], Prompts(("x",)), store=tmp_path / "store", launcher="inline")
    store = tmp_path / "store"
    commands = f"`hpcurate models fetch a --store {store} && hpcurate models fetch b --store {store}`"
    assert str(caught.value).endswith(f"type {commands}")


def test_weights_of_another_model_are_refused_before_anything_is_submitted(shell: Shell) -> None:
    """Before, the stage's setup failed on a node, or transformers went on with random numbers."""
    weights = shell.folder / "theirs"
    weights.mkdir()
    (weights / "config.json").write_text('{"model_type": "bert"}')
    shell.type("install", "+pipeline=hello", *_from(weights), f"store={shell.store}")
    refused = shell.inline("+pipeline=hello", *_from(weights), status=2).stderr
    assert (
        "stages.generate: model smollm2-135m-instruct: its config.json is that of a bert model; expected one that "
        in refused
    )
    assert not (shell.store / "runs").exists()


def _from(folder: Path) -> list[str]:
    return [f"models.{name}.path={folder}" for name in ("smollm2-135m-instruct", "all-minilm")]
