"""On a real Slurm: a call from inside a job gets workers as a call from a clean shell does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from slurm_fixture import SlurmSite

pytestmark = pytest.mark.slurm

SUBMIT = """
import sys
from launchers.slurm.submit import BatchJob
options = {"mem": "40M", "time": 2, "cpus-per-task": 2, "hold": True} | ({"gres": "gpu:1", "partition": "gpu"} if sys.argv[2] else {})
command = "env -0 >$SLURM_ARRAY_TASK_ID.env; scontrol show job -d $SLURM_JOB_ID >$SLURM_ARRAY_TASK_ID.job; "
command += "grep -E 'Cpus_allowed_list|Mems_allowed_list' /proc/self/status >$SLURM_ARRAY_TASK_ID.cpus"
folder = sys.argv[1]
job = BatchJob(
    folder=folder, name="same", options=options, command=f"cd {folder}; {command}", log="%A_%a.out", elements=1
)
print(job.submit())
"""
POISON = {
    "SLURM_CPUS_PER_TASK": "7",
    "SLURM_MEM_PER_CPU": "77",
    "SLURM_MEM_PER_NODE": "777",
    "SLURM_CPU_BIND": "cores",
    "SLURM_GRES": "gpu:4",
    "SLURM_GPUS": "4",
    "SLURM_EXCLUSIVE": "1",
    "SLURM_CLUSTERS": "nowhere",
    "SBATCH_ARRAY_INX": "0-7",
    "SBATCH_EXCLUSIVE": "1",
    "SBATCH_EXPORT": "NONE",
    "SBATCH_GRES": "gpu:4",
    "SBATCH_MEM_PER_NODE": "777",
    "SBATCH_PARTITION": "low",
    "SBATCH_TIMELIMIT": "1",
    "SQUEUE_STATES": "RUNNING",
    "CUDA_VISIBLE_DEVICES": "3",
    "PMI_RANK": "1",
}
OF_EACH_JOB = {
    "SLURM_JOB_ID",
    "SLURM_JOBID",
    "SLURM_ARRAY_JOB_ID",
    "SLURM_TASK_PID",
    "SLURM_SUBMIT_DIR",
    "PWD",
    "OLDPWD",
}
OF_EACH_JOB |= {
    "SLURMD_NODENAME",
    "SLURM_NODELIST",
    "SLURM_JOB_NODELIST",
    "SLURM_TOPOLOGY_ADDR",
    "HOSTNAME",
    "SHLVL",
    "_",
}
OF_EACH_JOB |= {"SLURM_JOB_START_TIME", "SLURM_JOB_END_TIME", "SLURM_SUBMIT_HOST", "TMPDIR"}


def submit(slurm: SlurmSite, folder: Path, gpu: bool, *before: str, **more: str) -> None:
    """In a process of its own, behind these words of a command line; returns once the job has ended."""
    folder.mkdir()
    command = [*before, sys.executable, "-c", SUBMIT, str(folder), "gpu" if gpu else ""]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "SBATCH"))} | slurm.env | more
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60)
    while len(slurm.squeue()) > 1:
        time.sleep(0.1)
    slurm.run("scontrol", "release", done.stdout.strip())  # held, so that it gets no other device beside the step
    slurm.wait_idle(30)
    time.sleep(0.2)


def seen(folder: Path) -> tuple[dict[str, str], dict[str, str], str]:
    """(environment, what it was given, cores and memory nodes) of the job."""
    plain = dict(entry.split("=", 1) for entry in (folder / "0.env").read_text().split("\0") if "=" in entry)
    given = dict(word.split("=", 1) for word in (folder / "0.job").read_text().split() if "=" in word)
    keys = (
        "Partition",
        "TimeLimit",
        "NumCPUs",
        "TRES",
        "CPUs/Task",
        "MinMemoryNode",
        "OverSubscribe",
        "TresPerNode",
        "Requeue",
    )
    return (
        {key: value for key, value in plain.items() if key not in OF_EACH_JOB},
        {key: given.get(key, "") for key in keys},
        (folder / "0.cpus").read_text(),
    )


@pytest.mark.parametrize("gpu", [False, True])
def test_a_call_from_inside_a_step_gets_the_same_workers(slurm: SlurmSite, tmp_path: Path, gpu: bool) -> None:
    """Cores, memory, GPUs and all of the environment, whatever the enclosing job and the user's habits export."""
    submit(slurm, tmp_path / "clean", gpu)
    step = (
        "srun",
        "-p",
        "gpu",
        "--gres=gpu:2",
        "-c",
        "3",
        "--mem=300M",
        "env",
        *(f"{k}={v}" for k, v in POISON.items()),
    )
    submit(slurm, tmp_path / "inside", gpu, *step)
    assert seen(tmp_path / "clean") == seen(tmp_path / "inside")
