"""What the job of a server asks sbatch for, and what it runs. Pure."""

from __future__ import annotations

import pytest

from hpcurate.runs.launcher import ServerJob, ServerNeeds
from launchers.slurm import SlurmLauncher
from launchers.slurm.service import address_in, server_job

NEEDS = ServerNeeds(stage="caption", cpus=8, gpus=2, memory_mb=4096, time="1h", disk_mb=1024)
PROFILE = {"partitions": {"cpu": "c", "gpu": "g"}, "account": "lab", "gres": "gres=gpu:a100:{n}"}


def test_a_server_asks_for_all_its_processes_together() -> None:
    """It is warned before its end, which reaches Python and not only steps, and is not queued again."""
    assert {
        "partition": "g", "account": "lab", "cpus-per-task": 8, "mem": "4096M", "time": 60, "signal": "B:USR2@60",
        "nodes": 1, "no-requeue": True, "gres": "gpu:a100:2", "tmp": "1024M",
    } == SlurmLauncher(site=PROFILE).settings.of_server(NEEDS)  # fmt: skip


def test_what_a_user_sets_comes_first() -> None:
    """As for stages: where sbatch takes only one of two options, ours is left out."""
    needs = ServerNeeds(stage="x", memory_mb=100, time="8m", sbatch={"mem_per_cpu": "1G", "partition": "own"})
    found = SlurmLauncher(site=PROFILE).settings.of_server(needs)
    expected = {"partition": "own", "mem-per-cpu": "1G", "mem": None, "gres": None, "signal": "B:USR2@60"}
    assert expected == {key: found.get(key) for key in expected}


@pytest.mark.parametrize(("code", "how"), [("/s/code-0", "/s/code-0/hpcurate/start.py"), (None, "-m")])
def test_a_server_runs_the_code_that_was_frozen(code: str | None, how: str) -> None:
    """Or what is installed, where nothing was; its script and log lie in its folder, under one name with it."""
    job = ServerJob(name="caption-1", folder="/s/serving/caption-1", code=code, needs=NEEDS)
    made = server_job(job, SlurmLauncher(python="py", setup=["module load cuda"]).settings)
    assert f"exec py -P {how} hpcurate.serving.job /s/serving/caption-1" == made.command
    assert ("caption-1", "/s/serving/caption-1", "log", ("module load cuda",)) == (
        made.name, made.folder, made.log, made.setup,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NodeName=gpu07 Arch=x86_64 NodeAddr=gpu07-ib NodeHostName=gpu07 Version=22.05", "gpu07-ib"),
        ("NodeName=gpu07 State=FUTURE", ""),
        ("", ""),
    ],
)
def test_a_node_is_reached_by_its_address(text: str, expected: str) -> None:
    """Which need not be Slurm's name of it."""
    assert expected == address_in(text)
