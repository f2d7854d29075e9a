"""`hpcurate resume`, and the command that is printed for it: typed anywhere, they continue the run that is meant."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest
from planned import planned
from shell import Shell

from hpcurate.cli.verbs.show import hour_rows
from hpcurate.report.shown_run import ShownStage

STAGES = """
from hpcurate import Stage
from hpcurate.source import RecordTask

class Half(Stage[RecordTask, RecordTask]):
    def __init__(self, fails: int = 0) -> None:
        self.fails = fails

    def process(self, tasks):
        for task in tasks:
            task.data["half"] = task.data["value"] / (task.data["value"] - 3)
        return tasks
"""
PIPELINE = """# @package _global_
name: halves
source: {_target_: hpcurate.source.Jsonl, path: '${input}'}
stages:
  half: {_target_: stages.halving.Half}
"""
WORDS = ["+pipeline=halves", "input=in it.jsonl", "budget.failed=0", "launcher=inline", "stages.half.tries=1"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A run that failed over its budget, typed in its own folder, with a relative input and a name with a blank."""
    shell = Shell(tmp_path_factory.mktemp("a project"))
    (shell.cwd / "conf" / "pipeline").mkdir(parents=True)
    (shell.cwd / "stages").mkdir()
    (shell.cwd / "conf" / "pipeline" / "halves.yaml").write_text(PIPELINE)
    (shell.cwd / "stages" / "halving.py").write_text(STAGES)
    (shell.cwd / "in it.jsonl").write_text("".join(f'{{"id": "n{n}", "value": {n}}}\n' for n in range(1, 6)))
    shell.type(*WORDS, f"store={shell.store}", status=1)
    return shell


def elsewhere(project: Shell) -> Shell:
    """The same store and home, in another folder."""
    shell = Shell.__new__(Shell)
    shell.__dict__ = {**project.__dict__, "cwd": project.folder / "elsewhere"}
    shell.cwd.mkdir(exist_ok=True)
    return shell


def runs(project: Shell) -> list[str]:
    """Names of its runs."""
    return sorted(path.name for path in project.store.glob("runs/2*"))


def typed(shell: Shell, line: str) -> subprocess.CompletedProcess[str]:
    """A line as a shell takes it, where `hpcurate` is this one."""
    script = f'hpcurate() {{ "{sys.executable}" -m hpcurate "$@"; }}\n{line}'
    return subprocess.run(
        ["bash", "-c", script], cwd=shell.cwd, env=shell.environment, capture_output=True, text=True, check=False
    )


def test_each_step_is_a_line_that_ends_with_its_command(project: Shell) -> None:
    """It said "type the run's command", and "raise budget.failed"; the number was nowhere."""
    said = elsewhere(project).typed("status", "--store", str(project.store)).stdout
    (name,) = runs(project)
    where = f"--store '{project.store}'"
    words = "hpcurate +pipeline=halves 'input=in it.jsonl' budget.failed=1 launcher=inline stages.half.tries=1"
    line = f"{words} 'store={project.store}'"
    assert said.rstrip().splitlines()[-4:] == [
        f"next: hpcurate why {name} {where}",
        f"      fix what failed, then: hpcurate retry {name} {where}",
        f"      or, if you edited code: hpcurate retry {name} --keep-done {where}",
        f"      or accept 1 failed: cd '{project.cwd}' && {line}",
    ]
    here = project.typed("status", "--store", str(project.store)).stdout
    assert "      or accept 1 failed: hpcurate +pipeline=halves 'input" in here


def test_the_printed_command_continues_the_run_from_another_folder(project: Shell) -> None:
    """Its relative input, its conf and its stages are where it was typed."""
    there = elsewhere(project)
    line = there.typed("status", "--store", str(project.store)).stdout.rstrip().rpartition("failed: ")[2]
    done = typed(there, line)
    assert (0, 1) == (done.returncode, len(runs(project))), done.stderr


def test_a_run_is_resumed_from_another_folder(project: Shell) -> None:
    """With another budget it failed again; what was given stands in its command from then on."""
    there = elsewhere(project)
    done = there.type("resume", "budget.failed=0", "--store", str(project.store), status=1)
    assert f"in {project.cwd}, where the run's command was typed" in done.stderr
    there.type("resume", "budget.failed=2", "--store", str(project.store))
    frozen = json.loads((project.store / "runs" / "latest" / "pipeline.json").read_text())
    assert (2, "budget.failed=2", str(project.cwd)) == (
        frozen["pipeline"]["budget"]["failed"], frozen["command"]["words"][2], frozen["command"]["folder"],
    )  # fmt: skip
    assert 1 == len(runs(project))


def test_what_would_be_another_run_is_refused(project: Shell) -> None:
    """With what makes it one; nothing is begun, until it is asked for."""
    where = ["--store", str(project.store)]
    (name,) = runs(project)
    refused = project.type("resume", "stages.half.fails=1", *where, status=2).stderr
    assert (
        f"stages.half: is not what it was in {name} (parameters.fails: default → 1): this would be a new run" in refused
    )
    assert f"to start it: hpcurate resume {name} stages.half.fails=1 --new-run --store '{project.store}'\n" in refused
    assert "limit or output is not that of" in project.type("resume", "limit=2", *where, status=2).stderr
    assert [name] == runs(project)
    project.type("resume", name, "limit=2", "--new-run", *where)
    assert 2 == len(runs(project))
    refused = project.type("resume", name, "limit=2", *where, status=2).stderr
    assert f"this would be the run {runs(project)[1]}" in refused


def test_what_a_resumed_run_does_not_take(project: Shell) -> None:
    """What other values refer to; the refusal has the command that takes it."""
    refused = project.type("resume", "input=other", "--store", str(project.store), status=2).stderr
    assert "input: a run keeps its configuration" in refused
    assert "type `cd " in refused


def test_a_run_shows_what_it_is(project: Shell) -> None:
    """Command, who, folders, hours and what was configured: read out of three files until now."""
    there, where, name = elsewhere(project), ["--store", str(project.store)], runs(project)[0]
    said = there.type("show", name, *where).stdout
    plain = json.loads(there.type("show", name, *where, "--json").stdout)
    assert plain["command"].startswith(f"cd '{project.cwd}' && hpcurate +pipeline=halves 'input=in it.jsonl' ")
    assert f"command   {plain['command']}\nor        hpcurate resume {name} --store '{project.store}'\n" in said
    assert (plain["user"], plain["typed"]["folder"]) == (pwd.getpwuid(os.getuid()).pw_name, str(project.cwd))
    assert f"  run: {project.store}/runs/{name}\n" in said
    assert "  output: /" not in said  # no stage of it writes there
    assert [("half", True)] == [(one["stage"], Path(one["folder"]).is_dir()) for one in plain["stages"]]
    assert "\n  stages.half.tries: 1\n" in said
    assert ("keys with the usual value: --all" in said, "timing.lease_s" in said) == (True, False)
    assert "\n  timing.lease_s: 300.0\n" in there.type("show", name, *where, "--all").stdout


def test_hours_are_those_of_stage_processes() -> None:
    """And of the cores and GPUs that each of them asked for; the sum where there are several stages."""
    stage = planned(resources={"cpus": 4, "gpus": 0.5, "memory": "1GB"})
    use = ShownStage.of(stage, "/s/one", 7200.0)
    assert (2.0, 8.0, 1.0) == (use.hours, use.cpu_hours, use.gpu_hours)
    assert [("one", "2.00", "8.00", "1.00", "current")] == hour_rows([use])
    assert ("all", "4.00", "16.0", "2.00", "") == hour_rows([use, use])[-1]
    assert "<0.001" == hour_rows([ShownStage.of(stage, "", 1.0)])[0][1]


def test_a_sweep_keeps_words_that_can_be_typed(project: Shell, tmp_path: Path) -> None:
    """The plus sign of a group was lost, and with it the command."""
    store = tmp_path / "store"
    words = ["-m", *WORDS, "stages.half.fails=5,6", f"store={store}"]
    project.typed(*words)
    kept = [json.loads(path.read_text())["command"]["words"] for path in store.glob("runs/2*/pipeline.json")]
    plain = [*WORDS[:1], *WORDS[2:]]
    assert [[f"stages.half.fails={n}"] for n in "56"] == sorted([w for w in one if "fails" in w] for one in kept)
    assert all(set(plain) <= set(one) for one in kept)


def test_a_retry_takes_what_changes_no_result(project: Shell) -> None:
    """The override that would have helped, in one line."""
    (name, *_) = runs(project)
    where = ["--store", str(project.store)]
    project.type("retry", name, "stages.half.task_timeout=9", *where)
    frozen = json.loads((project.store / "runs" / name / "pipeline.json").read_text())
    assert 9.0 == frozen["pipeline"]["stages"][0]["task_timeout"]
    assert "stages.half.task_timeout=9" in frozen["command"]["words"]
    refused = project.type("retry", name, "stages.half.fails=1", *where, status=2).stderr
    assert "parameters.fails: default → 1): a retry would mix the results of both; type `cd" in refused


def test_a_run_of_an_earlier_hpcurate_is_resumed_where_it_is_typed(project: Shell) -> None:
    """Nobody wrote down where its command was typed."""
    (name, *_) = runs(project)
    path = project.store / "runs" / name / "pipeline.json"
    plain = json.loads(path.read_text())
    del plain["command"]
    os.chmod(path, 0o600)
    path.write_text(json.dumps(plain))
    project.type("resume", name, "--store", str(project.store))
    command = json.loads(path.read_text())["command"]
    assert (str(project.cwd), "+pipeline=halves") == (command["folder"], command["words"][0])


@pytest.mark.parametrize("content", ["[]", "{}", '{"pipeline": 1}', "{"])
def test_a_run_that_cannot_be_read_has_its_command(project: Shell, content: str) -> None:
    """Its words are beside its configuration. A list was a traceback."""
    (name, *_) = runs(project)
    path = project.store / "runs" / name / "pipeline.json"
    before = path.read_text()
    path.write_text(content)
    said = project.type("status", name, "--store", str(project.store), status=2).stderr
    path.write_text(before)
    assert "to continue the run: hpcurate +pipeline=halves 'input=in it.jsonl' " in said
