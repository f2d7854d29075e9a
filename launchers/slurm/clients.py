"""Calling Slurm's clients: with a clean environment, bounded in time, an answer or None."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpcurate.errors import LauncherError

if TYPE_CHECKING:
    import subprocess

ANSWER_S = 20.0
"""How long a Slurm client may take to answer."""
INHERITED = re.compile(
    r"(SLURM|SLURMD|SBATCH|SRUN|SALLOC|SQUEUE|SINFO|SACCT|SCONTROL|SCANCEL|SUBMITIT)_\w+"
    r"|HPCURATE_(WORKER|PARENT)"
)
"""Environment that changes what clients ask for or print: of an enclosing job, or the user's own habits.

`SLURM_CLUSTERS` and `SBATCH_CLUSTERS`, too: the cluster is the one of `SLURM_CONF`, for all clients alike.
"""
OF_A_JOB = re.compile(r"(CUDA|ROCR|HIP)_VISIBLE_DEVICES|GPU_DEVICE_ORDINAL|ZE_AFFINITY_MASK|PMI_\w+|PMIX_\w+")
"""What Slurm sets for an enclosing job's devices and ranks: sbatch would export it to workers, which have devices of
their own or none. Outside a job it is the user's own, and stays."""
KEPT = {"SLURM_CONF"}
CLIENTS = ("sbatch", "squeue", "scancel", "scontrol", "sinfo")
"""What a call needs of Slurm. `sacct` and `sacctmgr` are used where they answer."""
CONFIG = ("scontrol", "show", "config")
_KNOWN: dict[tuple[str, ...], str] = {}
"""What a site answered to questions about itself: by controller, client and question."""


def client_environment() -> dict[str, str]:
    """Environment for Slurm's clients, without what an enclosing job or the user's habits left there."""
    in_job = "SLURM_JOB_ID" in os.environ
    return {k: v for k, v in os.environ.items() if k in KEPT or not _is_left_out(k, in_job)}


def _is_left_out(name: str, in_job: bool) -> bool:
    return INHERITED.fullmatch(name) is not None or (in_job and OF_A_JOB.fullmatch(name) is not None)


def missing_clients() -> list[str]:
    """Those that are not in PATH."""
    import shutil  # here, as `subprocess` below: a gate that finds all done asks nobody

    return [name for name in CLIENTS if shutil.which(name) is None]


def own_user() -> str:
    """Name of the user whose jobs ours are: not what LOGNAME and USER say."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container without the site's users: Slurm takes numbers, too
        return str(os.getuid())


def call(command: Sequence[str], timeout_s: float = ANSWER_S) -> subprocess.CompletedProcess[str]:
    """Run a client, bounded in time. Raises LauncherError where it does not start or does not answer."""
    import subprocess

    environment = client_environment()
    if command[0] != "sbatch":  # which exports it to the job
        environment["SLURM_BITSTR_LEN"] = "0"  # else ranges of array elements end with ...
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout_s, env=environment, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LauncherError(f"{os.path.basename(command[0])}: {error}") from error


def ask(command: Sequence[str]) -> str | None:
    """Output of a Slurm client, or None if it failed or did not answer."""
    try:
        done = call(command)
    except LauncherError:
        return None
    if done.returncode and "Invalid job id" in done.stderr:
        return ""  # the controller answers: it has no such job
    return None if done.returncode else done.stdout


def ask_once(*command: str) -> str | None:
    """Output of a client that describes the site, asked for once in a process; None as long as it does not answer.

    A run asks the same of each job that it submits, and a site changes seldom.
    """
    import shutil

    key = (os.environ.get("SLURM_CONF", ""), shutil.which(command[0]) or "", *command)
    if key not in _KNOWN and (answer := ask(command)) is not None:
        _KNOWN[key] = answer
    return _KNOWN.get(key)


def error_lines(message: str) -> str:
    """The errors in a client's output, on one line. Pure."""
    lines = [line.strip() for line in message.splitlines() if re.search(r"error:|failure:", line, re.IGNORECASE)]
    return "; ".join(lines[-3:]) or message.strip()[-500:]
