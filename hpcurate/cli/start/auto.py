"""`launcher=auto`: never surprise a login node with the work itself."""

from __future__ import annotations

import shutil
import subprocess

import msgspec

from hpcurate.errors import LauncherError
from hpcurate.system.allocation import Allocation

ANSWER_S = 5.0


class Surroundings(msgspec.Struct, frozen=True):
    """What `launcher=auto` decides by."""

    client: bool
    """`sbatch` is in PATH."""
    answers: bool
    """The controller answered within five seconds."""
    allocation: str | None
    """Id of the job that this process is part of."""
    nodes: int = 1
    """Nodes of that job."""


def choose(here: Surroundings) -> tuple[str, str]:
    """(launcher, why). Pure. Raises LauncherError for a client without a controller."""
    if here.allocation:
        return "local", f"inside job {here.allocation}: working on {_what_of(here.nodes)}"
    if not here.client:
        return "local", "no Slurm here: working on this machine"
    if here.answers:
        return "slurm", "a Slurm controller answers: submitting to it"
    raise LauncherError(
        "launcher=auto: there is a Slurm client, but its controller does not answer; "
        "try `scontrol ping`, or type launcher=local to work on this very machine"
    )


def _what_of(nodes: int) -> str:
    if nodes == 1:
        return "its own allocation"
    return f"this node only, the other {nodes - 1} of the job stay idle: ask for one, or type launcher=slurm"


def probe() -> Surroundings:
    """Look around."""
    client = shutil.which("sbatch") is not None
    here = Allocation.here()
    return Surroundings(client, client and not here.job_id and _answers(), here.job_id, here.nodes)


def _answers() -> bool:
    try:
        done = subprocess.run(["scontrol", "ping"], capture_output=True, timeout=ANSWER_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and b"UP" in done.stdout
