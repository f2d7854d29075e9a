"""The sbatch script of an array is as the golden file has it; HPCURATE_ACCEPT=1 accepts a change."""

from __future__ import annotations

import msgspec
from golden import assert_golden
from planned import planned

from hpcurate.planning.plan import Plan, job_name
from hpcurate.runs.launcher import Submission
from launchers.slurm import SlurmLauncher
from launchers.slurm.arrays import array_job


def test_the_script_of_an_array() -> None:
    """submitit's private names still give the script that we expect."""
    stage = planned(resources={"gpus": 2, "disk": "10GB"}, sbatch={"constraint": "a100", "exclusive": True})
    plan = Plan(stage=stage, run="r", store="/s", lists=("0001",), round=1, workers=3, code="/s/runs/r/code-0")
    submission = Submission(plan=plan, path="/s/runs/r/submissions/lower-0001", name=job_name("lower-0", 1, "r", "/s"))
    launcher = SlurmLauncher(partition="gpu", account="me", setup=["module load cuda"], max_parallel=2, python="python")
    job = array_job(submission, launcher.settings, offset=0, elements=3)
    text = msgspec.structs.replace(job, folder="FOLDER").script()
    assert_golden("array.sh", text)
