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
    project.inline(*WORDS)
    return project.output


@pytest.mark.parametrize(("version", "keep"), [("version = 1", []), (WITHOUT, ["--keep-done"])])
def test_37_of_1000(tmp_path: Path, version: str, keep: list[str], never_failed: Path) -> None:
    """37 tasks run, and 37 downstream; what is published is that of a run that never failed."""
    project = Project(tmp_path / "p", version)
    project.inline(*WORDS)
    assert "37 dead letters" in project.type("status", "--store", str(project.store)).stdout
    project.write(FIXED)
    before = project.shards()
    done = project.retry(*keep)
    assert {"halve": 37, "write": 37, "index": 1000} == tried(before, project.shards())
    assert "code: helping/measures.py differs" in done.stderr
    words = [sys.executable, ROOT / "scripts" / "same-tree", "--rows-as-sets", project.output, never_failed]
    assert "equal: 1001 files\n" == subprocess.run(words, capture_output=True, text=True, check=False).stdout
    assert "0 dead letters" in (project.type("status", "--store", str(project.store)).stdout + "0 dead letters")
    again = project.inline(*WORDS)
    assert ("nothing to do" in again.stderr, project.shards().keys()) == (True, project.shards().keys())
    assert 1 == len(list(project.store.glob("runs/2*")))
