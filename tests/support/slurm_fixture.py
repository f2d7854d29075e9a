"""A real Slurm for tests: the session-scoped fixture `slurm`, run by `scripts/dev-slurm`.

Skips where the machine cannot run one (not root, packages missing), with the reason.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "dev-slurm"
CANNOT_RUN_HERE = 3  # exit status of dev-slurm
# Not in pytest's own temporary folder: its paths are too long for Unix sockets.
PARENT = Path("/tmp")
PREFIX = "hpcurate-test-slurm"
SACCT_FIELDS = ("JobID", "JobName", "Partition", "State", "ExitCode", "NodeList")
SQUEUE_FIELDS = {"JobID": "%i", "Name": "%j", "Partition": "%P", "State": "%T", "Reason": "%r"}


@dataclass(frozen=True)
class SlurmSite:
    """A running Slurm: two CPU nodes, two nodes of four GPUs; partitions cpu, gpu, low, high."""

    folder: Path

    @property
    def env(self) -> dict[str, str]:
        """Merge this into a subprocess's environment, and its Slurm commands come here."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def run(self, *argv: str) -> str:
        """What a command prints; `CalledProcessError` when it fails, its stderr in `.stderr`.

        It runs in the Slurm's own folder: a job writes its output there unless it says otherwise.
        """
        environment = {**os.environ, **self.env}
        done = subprocess.run(
            argv, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    def sbatch(self, *options: str, script: str) -> str:
        """Submit a shell script; its job id."""
        return self.run("sbatch", "--parsable", "--output=/dev/null", *options, "--wrap", script).strip()

    def sacct(self, job_ids: Iterable[str]) -> list[dict[str, str]]:
        """One row a job or array element, without steps; array elements are `12_3`.

        The controller writes down how jobs began only every 5 s. Until then a short job has a row
        without name and partition, and an array that is over may have a single row without index.
        """
        fields = ",".join(SACCT_FIELDS)
        table = self.run("sacct", "-X", "-n", "-P", "-o", fields, "-j", ",".join(job_ids))
        return [dict(zip(SACCT_FIELDS, line.split("|"), strict=True)) for line in table.splitlines()]

    def squeue(self) -> list[dict[str, str]]:
        """One row a job or array element that is not over."""
        table = self.run("squeue", "-h", "-r", "-o", "|".join(SQUEUE_FIELDS.values()))
        return [dict(zip(SQUEUE_FIELDS, line.split("|"), strict=True)) for line in table.splitlines()]

    def wait_idle(self, timeout: float) -> None:
        """Return when no job is queued or running and all nodes are idle; `timeout` in seconds."""
        deadline = time.monotonic() + timeout
        while jobs := self.squeue() or self._busy_nodes():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not idle after {timeout} s: {jobs}")
            time.sleep(0.1)

    def _busy_nodes(self) -> list[str]:
        nodes = set(self.run("sinfo", "-h", "-N", "-o", "%N %T").splitlines())
        return sorted(node for node in nodes if not node.endswith(" idle"))


@pytest.fixture(scope="session")
def slurm() -> Iterator[SlurmSite]:
    """One Slurm for the whole test session, with accounting and no limits of its own."""
    stop_stale()
    with running_slurm() as site:
        yield site


@contextmanager
def running_slurm(*options: str) -> Iterator[SlurmSite]:
    """A Slurm of its own for one test, with options of `dev-slurm up`."""
    folder = new_folder(os.getpid())
    try:
        done = dev_slurm("up", folder, *options)
        if done.returncode == CANNOT_RUN_HERE:
            pytest.skip(done.stderr.strip())
        assert done.returncode == 0, done.stderr
        yield SlurmSite(folder)
    finally:
        discard(folder)


def dev_slurm(command: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `scripts/dev-slurm` on a folder, with the Python that runs the tests."""
    argv = [sys.executable, str(SCRIPT), command, "--dir", str(folder), *options]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)


def new_folder(owner_pid: int) -> Path:
    """An empty folder whose name says which process it belongs to.

    The owner is in the name, so there is no moment at which the folder exists without it.
    """
    prefix = f"{PREFIX}-{owner_pid}-{start_time(owner_pid)}-"
    return Path(tempfile.mkdtemp(prefix=prefix, dir=PARENT))


def stop_stale() -> None:
    """Stop what earlier test sessions left running because they were killed."""
    for folder in PARENT.glob(f"{PREFIX}-*-*-*"):
        pid, start = folder.name[len(PREFIX) + 1 :].split("-")[:2]
        with suppress(FileNotFoundError):  # another of these sessions was faster
            if folder.stat().st_uid == os.geteuid() and str(start_time(int(pid))) != start:
                discard(folder)


def discard(folder: Path) -> None:
    """Stop the Slurm in a folder, if any; the folder is gone afterwards."""
    done = dev_slurm("down", folder, "--force")
    if folder.exists() and not any(folder.iterdir()):
        folder.rmdir()
    assert not folder.exists(), done.stderr


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    state, *fields = stat.rpartition(")")[2].split()
    return 0 if state in "ZX" else int(fields[18])
