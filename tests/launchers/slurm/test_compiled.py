"""A compiled folder: its scripts as the golden file has them, its size under a submit limit, and which jobs wait."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from golden import assert_golden

from hpcurate.errors import LauncherError
from hpcurate.planning.build import Step, build
from hpcurate.planning.options import StageOptions
from hpcurate.planning.pipeline import Pipeline
from hpcurate.runs.compiled import Compiled, differing, read_compiled
from launchers.slurm.compiled import Scripts, fitting, submit_script
from launchers.slurm.compiler import SlurmCompiler
from launchers.slurm.facts import SiteFacts
from launchers.slurm.launcher import SlurmLauncher
from launchers.slurm.queue import held_by, waiting_jobs
from stages.hello import LowerCase, Print, Prompts, WordCount

COMPILED = Compiled(
    identity="1d",
    fingerprints={"lower": "f"},
    store="/s",
    folder="/home/me/my project",
    words=("+pipeline=p",),
    code="code-0",
    tag="7a9",
)
FOLDER = "/home/me/50%'s of it"


def dag() -> Pipeline:
    """Two branches, and a join that needs both."""
    steps = {
        "lower": Step(LowerCase()),
        "show": Step(Print(), StageOptions(after=["lower"])),
        "count": Step(WordCount(), StageOptions(after=["lower"])),
        "both": Step(Print(), StageOptions(after=["show", "count"], sbatch={"constraint": "a100"})),
    }
    return build("p", Prompts(("a",)), steps)


def test_a_compiled_folder() -> None:
    """Options as the launcher asks for them, paths in quotes, each job held by those that it needs."""
    launcher = SlurmLauncher(partition="p", python="python", setup=["module load cuda"], max_parallel=2)
    scripts = Scripts(
        folder=FOLDER,
        pipeline=dag(),
        compiled=COMPILED,
        settings=launcher.settings,
        facts=SiteFacts(),
        elements={"lower": 4, "show": 2, "count": 1, "both": 1},
    )
    made = scripts.all()
    assert_golden("compiled.txt", "".join(f"== {name}\n{made[name]}" for name in sorted(made)))


def test_submitting_stops_where_sbatch_does(tmp_path: Path) -> None:
    """What is queued is released, in a folder of any name, whatever a site's sbatch prints beside the id."""
    folder, bin = tmp_path / '50%\'s of "it"', tmp_path / "bin"
    folder.mkdir()
    bin.mkdir()
    said = 'echo "sbatch: info: hello"; n=$(cat n 2>/dev/null || echo 6); [ $n -lt 9 ] || exit 1; echo $((n + 1)) > n'
    (bin / "sbatch").write_text(f'#!/bin/sh\necho "$@ $SBATCH_QOS" >> typed\n{said}; echo "$((n + 1));mine"\n')
    (bin / "scontrol").write_text('#!/bin/sh\necho scontrol "$@" >> typed\n')
    for path in bin.iterdir():
        path.chmod(0o755)
    environment = {"PATH": f"{bin}:/usr/bin:/bin", "SBATCH_QOS": "other", "SLURM_CONF": "/c"}
    script = submit_script(str(folder), dag())
    done = subprocess.run(["sh"], input=script, env=environment, capture_output=True, text=True, check=False)
    assert (1, "7 --hold 00-start.sbatch\n8 --dependency=afterok:7 01-lower.sbatch") == (
        done.returncode,
        "\n".join(done.stdout.splitlines()[:2]),
    )
    assert [
        "--parsable --hold 00-start.sbatch ",
        "--parsable --dependency=afterok:7 01-lower.sbatch ",
        "--parsable --dependency=afterok:7,afterany:8 01-lower.gate.sbatch ",
        "--parsable --dependency=afterok:7,afterany:9 02-show.sbatch ",
        "scontrol release 7",
    ] == (folder / "typed").read_text().splitlines()


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(None, [32, 8, 1]), (47, [32, 8, 1]), (20, [6, 7, 1]), (9, [1, 1, 1])],
)
def test_all_jobs_are_queued_at_once(limit: int | None, expected: list[int]) -> None:
    """Elements, gates, the start, and room for a second round: the largest array gives way."""
    found = fitting({"a": 32, "b": 8, "c": 1}, limit)
    assert expected == list(found.values())


def test_a_limit_that_is_too_low_is_refused() -> None:
    """With the number that would do."""
    with pytest.raises(LauncherError, match="lets you queue 8 jobs, and this folder needs 9 at least"):
        fitting({"a": 32, "b": 8, "c": 1}, 8)


QUEUE = (
    "12_[0-3,7%2]|PENDING|afterok:9(unfulfilled),afterany:11(unfulfilled)|show-7a9\n"
    "8_[2-3]|PENDING|(null)|show-7a9\n8_1|RUNNING|(null)|show-7a9\n"
    "14|PENDING|afterany:12_*(unfulfilled)|gate-show-7a9\n13|PENDING|afterany:120_*(unfulfilled)|gate-show-7a9\n"
    "15|PENDING|afterany:12_*(unfulfilled)|another's\n"
)


def test_jobs_that_wait() -> None:
    """Of the names that are asked for, and of which nothing has begun: one that works already is no one's to take."""
    [array] = waiting_jobs(QUEUE, ["show-7a9"])
    assert ("12", "show-7a9", 5) == (array.id, array.name, array.count)


def test_the_gate_of_an_array() -> None:
    """Where a folder was submitted twice, each array has its own."""
    assert ["13", "14"] == [job.id for job in waiting_jobs(QUEUE, ["gate-show-7a9"])]
    assert ["14"] == [job.id for job in waiting_jobs(QUEUE, ["gate-show-7a9"], after="12")]


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ("afterany:12(unfulfilled),afterany:13_*(unfulfilled)\n", "afterany:12,afterany:13_*,afterany:20"),
        ("(null)\n", "afterany:20"),
        ("", "afterany:20"),
    ],
)
def test_a_job_is_held_by_a_gate_more(held: str, expected: str) -> None:
    """What it waits for stays."""
    assert expected == held_by(held, "20")


def test_sites_that_no_folder_would_work_on() -> None:
    """Jobs that may not submit, and a folder on a node's own disk: refused with what to do."""
    compiler = SlurmLauncher(site={"nodes_may_submit": False}).compiler
    assert isinstance(compiler, SlurmCompiler)
    with pytest.raises(LauncherError, match=r"site\.nodes_may_submit=false: gates .* type the run's command instead"):
        compiler.scripts(FOLDER, dag(), COMPILED)
    with pytest.raises(LauncherError, match=r"compile: /scratch/x: lies in /scratch, .* name a folder on shared"):
        SlurmLauncher(site={"node_local": ["/scratch"]}).compiler.scripts("/scratch/x", dag(), COMPILED)


def test_what_the_folder_says_of_the_run_is_read_back() -> None:
    """And a stage that changed is named."""
    assert COMPILED == read_compiled(COMPILED.text(), "x")
    assert "b" == differing({"a": "1", "b": "2"}, {"a": "1", "b": "3"})
    assert "" == differing({"a": "1"}, {"a": "1"})
