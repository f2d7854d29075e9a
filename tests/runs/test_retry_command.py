"""`hpcurate retry` as a user types it: a bug in the code, fixed, and what failed is tried again with the code as it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT
from shell import Shell

STAGES = """
import json, os
from hpcurate import Stage
from hpcurate.source import RecordTask
from helping.measures import half

class Halve(Stage[RecordTask, RecordTask]):
    VERSION

    def process(self, tasks):
        for task in tasks:
            task.data["half"] = half(task.data["value"])
        return tasks

class Write(Stage[RecordTask, RecordTask]):
    version = 1

    def __init__(self, output):
        self.output = output

    def process(self, tasks):
        os.makedirs(self.output, exist_ok=True)
        for task in tasks:
            with open(f"{self.output}/{task.data['value']}.json", "w") as file:
                json.dump(task.data, file)
        return tasks

class Index(Write):
    gather = True

    def process(self, tasks):
        os.makedirs(self.output, exist_ok=True)
        with open(f"{self.output}/index.jsonl", "w") as file:
            file.writelines(json.dumps(task.data) + "\\n" for task in tasks)
        return tasks
"""
PIPELINE = """# @package _global_
name: halves
source: {_target_: hpcurate.source.Jsonl, path: '${input}'}
stages:
  halve: {_target_: halving.Halve, shard_tasks: 100, batch_size: 10}
  write: {_target_: halving.Write, output: '${output}', batch_size: 0}
  index: {_target_: halving.Index, output: '${output}'}
"""
BUG = "def half(value):\n    return value / 2 if value % 27 else value / 0\n"
FIXED = "def half(value):\n    return value / 2\n"
WORDS = ["+pipeline=halves", "input=in.jsonl", "budget.failed=50"]
WITHOUT = "pass"
"""Of a version."""


class Project(Shell):
    """A project with a stage whose work is done in a module beside it, and a thousand tasks, of which 37 fail."""

    def __init__(self, folder: Path, version: str = "version = 1", code: str = BUG, tasks: int = 1000) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__(folder)
        (self.cwd / "conf" / "pipeline").mkdir(parents=True)
        (self.cwd / "helping").mkdir()
        (self.cwd / "conf" / "pipeline" / "halves.yaml").write_text(PIPELINE)
        (self.cwd / "in.jsonl").write_text("".join(f'{{"id": "n{n}", "value": {n}}}\n' for n in range(1, tasks + 1)))
        (self.cwd / "halving.py").write_text(STAGES.replace("VERSION", version))
        self.write(code)

    def write(self, code: str) -> None:
        """The helper, from now on."""
        (self.cwd / "helping" / "measures.py").write_text(code)

    def command(self, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Type the run's command."""
        return self.type(*WORDS, *words, "launcher=inline", f"store={self.store}", status=status)

    def retry(self, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Type `hpcurate retry`."""
        return self.type("retry", *words, "--store", str(self.store), status=status)

    @property
    def output(self) -> Path:
        """Of the latest run."""
        return self.store / "runs" / "latest" / "output"

    def shards(self) -> dict[str, int]:
        """Committed shards → their tasks."""
        found = {
            str(path.parent.relative_to(self.store)): path
            for path in self.store.glob("stages/*/shards/*/[!.]*/stats.json")
        }
        return {shard: json.loads(path.read_text())["tasks_in"] for shard, path in found.items()}


def tried(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """Stage → tasks of the shards that are new."""
    found: dict[str, int] = {}
    for shard in after.keys() - before.keys():
        stage = shard.split("/")[1].rpartition("-")[0]
        found[stage] = found.get(stage, 0) + after[shard]
    return found


@pytest.fixture(scope="module")
def never_failed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output of a run that had no bug."""
    project = Project(tmp_path_factory.mktemp("never"), code=FIXED)
    project.command()
    return project.output


def same_trees(one: Path, two: Path) -> str:
    """What `same-tree` prints."""
    words = [sys.executable, ROOT / "scripts" / "same-tree", "--rows-as-sets", one, two]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def test_37_of_1000(tmp_path: Path, never_failed: Path) -> None:
    """37 tasks run, and 37 downstream; what is published is that of a run that never failed."""
    project = Project(tmp_path / "p")
    project.command()
    project.write(FIXED)
    before = project.shards()
    done = project.retry()
    assert {"halve": 37, "write": 37, "index": 1000} == tried(before, project.shards())
    assert "code: helping/measures.py differs; its version is the same" in done.stderr
    assert "equal: 1001 files\n" == same_trees(project.output, never_failed)


def test_37_of_1000_of_a_stage_without_a_version(tmp_path: Path, never_failed: Path) -> None:
    """Other code is refused; kept, it is recorded: `explain` and the command say so, and `rerun` does it all again."""
    project = Project(tmp_path / "p", WITHOUT)
    project.command()
    project.write(FIXED)
    before = project.shards()
    refused = project.retry(status=2).stderr
    assert (True, before) == ("stages.halve: code: helping/measures.py differs" in refused, project.shards())
    keeping = f"--keep-done --store {project.store}"
    assert f"{keeping}` keeps what succeeded and tries only what failed" in refused  # it named no store
    following = project.typed("status", "--store", str(project.store)).stdout
    assert f"or, if you edited code: hpcurate retry {project.output.parent.resolve().name} {keeping}" in following
    project.retry("--keep-done")
    assert {"halve": 37, "write": 37, "index": 1000} == tried(before, project.shards())
    assert "equal: 1001 files\n" == same_trees(project.output, never_failed)
    (alias,) = project.store.glob("stages/.aliases/halve-*")
    recorded = json.loads(alias.read_text())
    stage = json.loads((project.store / "stages" / recorded["folder"] / "stage.json").read_text())
    codes = [one["stage"]["code"]["helping/measures.py"] for one in (stage["parts"], recorded["parts"])]
    assert (2, stage["fingerprint"]) == (len(set(codes)), recorded["fingerprint"])
    kept = "code: helping/measures.py differs; what other code has committed stays (`hpcurate retry --keep-done`)"
    assert kept in project.typed("explain", *WORDS, "launcher=local", f"store={project.store}").stdout
    again = project.command().stderr
    assert (True, True) == (kept in again, "nothing to do" in again)
    project.command("rerun=halve")
    assert 2 == len(list(project.store.glob("stages/halve-*")))


KILLED = -9


def test_a_retry_that_is_killed_again_and_again(tmp_path: Path) -> None:
    """Typed again, or by the run's command once it was written down, it goes on; no task is done twice."""
    project = Project(tmp_path / "p", tasks=60)
    project.command()
    project.write(FIXED)
    before = project.shards()
    points = ("list.after", "commit.before_rename", "commit.after_rename")
    armed = {"HPCURATE_FAILPOINTS": ",".join(f"{point}@{tmp_path}/{point}" for point in points)}
    for words in (["retry"], ["retry"], [*WORDS, "launcher=inline", f"store={project.store}"]):
        project.type(*words, status=KILLED, **armed)
    project.command()
    assert {"halve": 2, "write": 2, "index": 60} == tried(before, project.shards())
    assert 1 == len(list(project.store.glob("stages/halve-*/lists/retry.*")))


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One whose bug is still there, with two dead letters."""
    project = Project(tmp_path_factory.mktemp("failed"), tasks=60)
    project.command()
    return project


def test_what_there_is_to_choose_from(failed: Project) -> None:
    """If nothing fits: stage, kind and reason of each group, with its count. Nothing of it is run."""
    refused = failed.retry("--kind", "oom", status=2).stderr
    assert "     2  --stage halve --kind exception  ZeroDivisionError: division by zero" in refused


def test_what_a_retry_does_not_take(failed: Project) -> None:
    """Its configuration is the run's."""
    refused = failed.retry("input=other.jsonl", status=2).stderr
    assert "input: a run keeps its configuration" in refused
    assert "hpcurate +pipeline=halves input=in.jsonl budget.failed=50" in refused


def test_why_names_the_retry(failed: Project) -> None:
    """Of a run that is complete, and has dead letters."""
    assert "next: fix what failed, then: hpcurate retry 2" in failed.typed("why", "--store", str(failed.store)).stdout


def test_who_does_the_work_can_be_named_again(failed: Project) -> None:
    """Another launcher, and its fields; the command's other words stay with the run, and what fails again is tried."""
    words = (failed.store / "runs" / "latest" / "overrides.json").read_text()
    assert "2 dead letters" in failed.retry("launcher=local", "launcher.workers=1", "wait=true").stdout
    frozen = json.loads((failed.store / "runs" / "latest" / "pipeline.json").read_text())
    assert ("launchers.local.LocalLauncher", 1) == (frozen["launcher"]["_target_"], frozen["launcher"]["workers"])
    assert words == (failed.store / "runs" / "latest" / "overrides.json").read_text()
