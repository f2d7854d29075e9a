"""`hpcurate compile` on a real Slurm: the folder, submitted by hand, gives the same tree, and nothing twice."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from shell import Shell
from slurm_fixture import SlurmSite

pytestmark = pytest.mark.slurm
PIPELINE = """\
# @package _global_
name: dag
source: {_target_: stages.hello.Prompts, prompts: [A b, c D, E f]}
stages:
  lower: {_target_: stages.hello.LowerCase, shard_tasks: 1, workers: 1}
  shout: {file: lib/mine.py, after: []}
  count: {_target_: stages.hello.WordCount, after: [lower, shout], workers: 1}
"""
MINE = """\
from stages.hello import HelloTask
from hpcurate import Stage


class Shout(Stage[HelloTask, HelloTask]):
    def process(self, tasks):
        for task in tasks:
            task.prompt = task.prompt.upper()
        return tasks
"""


@pytest.fixture(scope="module")
def compiled(slurm: SlurmSite, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A folder of jobs, submitted and at its end. A worker of the first stage was killed."""
    shell = Shell(tmp_path_factory.mktemp("compiled"))
    shell.extra = dict(slurm.env)
    (shell.cwd / "conf" / "pipeline").mkdir(parents=True)
    (shell.cwd / "conf" / "pipeline" / "dag.yaml").write_text(PIPELINE)
    (shell.cwd / "lib").mkdir()
    (shell.cwd / "lib" / "mine.py").write_text(MINE)
    first = tree(shell.folder / "to" if write(shell) else shell.folder)
    shutil.rmtree(shell.folder / "to")
    write(shell)
    assert first == tree(shell.folder / "to")
    (shell.cwd / "lib" / "mine.py").write_text(MINE.replace("upper", "title"))  # what was compiled is what runs
    submit(shell, HPCURATE_FAILPOINTS=f"commit.before_rename@{shell.folder}/died@lower-0001")
    slurm.wait_idle(90)
    (shell.cwd / "lib" / "mine.py").write_text(MINE)
    return shell


def write(shell: Shell, *words: str, status: int = 0) -> str:
    """Type compile; what it says."""
    done = shell.type(
        "compile",
        "+pipeline=dag",
        f"store={shell.store}",
        "launcher=slurm",
        *words,
        str(shell.folder / "to"),
        status=status,
    )
    return done.stderr


def submit(shell: Shell, **env: str) -> str:
    """Type `submit.sh`."""
    script = [str(shell.folder / "to" / "submit.sh")]
    done = subprocess.run(script, env={**shell.environment, **env}, capture_output=True, text=True, check=True)
    return done.stdout


def tree(folder: Path) -> dict[str, bytes]:
    """Content of all files in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(store: Path) -> dict[str, list[str]]:
    """Rows of each stage. Shards of a join are named by the nonces of what it reads."""
    found: dict[str, list[str]] = {}
    for path in store.glob("stages/*/shards/*/[!.]*/*.jsonl"):
        found.setdefault(f"{path.parts[-5]}/{path.name}", []).append(path.read_text())
    return {name: sorted(texts) for name, texts in found.items()}


def names(compiled: Shell, slurm: SlurmSite) -> Counter[str]:
    """How many jobs of each name there were."""
    tag = json.loads((compiled.folder / "to" / "compiled.json").read_text())["tag"]
    latest = next(compiled.store.glob("stages/lower-*/rounds/0002.ticket"))
    other = json.loads(latest.read_text())["name"].partition("-r2")[2]
    table = slurm.run("sacct", "-X", "-n", "-P", "-o", "JobID,JobName").splitlines()
    ours = {(row.split("|")[0].split("_")[0], row.split("|")[1]) for row in table if tag in row or other in row}
    return Counter(re.sub(r"[0-9a-f]{12}", "#", name.replace(tag, "*").replace(other, "")) for _, name in ours)


def test_the_tree_is_that_of_the_normal_command(compiled: Shell, tmp_path: Path) -> None:
    """Rows of every shard of every stage; a worker that was killed costs a second round, which a gate submits."""
    assert (compiled.folder / "died").exists()
    normal = Shell(tmp_path)
    shutil.copytree(compiled.cwd, normal.cwd, dirs_exist_ok=True)
    normal.inline("+pipeline=dag")
    assert rows(normal.store) == rows(compiled.store)
    assert {"lower", "shout", "count"} <= {name.partition("-")[0] for name in rows(compiled.store)}
    summary = json.loads((compiled.store / "runs" / "latest" / "summary.json").read_text())
    assert "complete" == summary["state"]


def test_nothing_is_submitted_twice(compiled: Shell, slurm: SlurmSite) -> None:
    """Each job of the folder once, the join after a second round, too, which is all that is submitted beside them."""
    stages = ("lower", "shout", "count")
    once = {"start-*": 1, **{f"{name}-*": 1 for name in stages}, **{f"gate-{name}-*": 1 for name in stages}}
    found = names(compiled, slurm)
    assert 1 <= found.pop("gate-lower-r2") <= 2  # the gates of both branches may see at once that there is none
    assert {**once, "lower-#-r2": 1} == found


def test_it_is_the_run_of_the_same_command(compiled: Shell) -> None:
    """Which has nothing to do, also where it is resumed; its logs are where those of any run are."""
    assert "nothing to do" in compiled.type("+pipeline=dag", f"store={compiled.store}", "launcher=slurm").stderr
    assert "complete" in compiled.type("resume", "--store", str(compiled.store)).stdout
    assert 1 == len(list(compiled.store.glob("runs/2*")))
    assert "lower" in compiled.type("logs", "--stage", "lower", "--store", str(compiled.store)).stdout
    assert list(compiled.store.glob("runs/2*/submissions/lower-0001/array-*.out"))


def test_a_folder_that_is_there(compiled: Shell) -> None:
    """Left as it is where it is what would be written, with what jobs left in it; refused where it is not."""
    assert "nothing to do" in write(compiled)
    (compiled.folder / "to" / "notes").write_text("mine")
    assert "has notes, which is not what this command writes" in write(compiled, status=2)


@pytest.mark.long
def test_cancel_takes_all_that_waits(compiled: Shell, slurm: SlurmSite) -> None:
    """The array that the run has taken, and the jobs after it, which it has not seen yet."""
    to = compiled.folder / "to"
    shutil.rmtree(to)
    write(compiled, "source.prompts=[x,y]", "stages.lower.sbatch.begin=now+1hour")
    submit(compiled)
    deadline = time.monotonic() + 30
    while len(list(compiled.store.glob("runs/2*/gates/lower-0001"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    said = compiled.type("cancel", "--store", str(compiled.store)).stdout
    assert "jobs of the compiled folder that waited: stopped" in said
    slurm.wait_idle(20)
