"""A stage whose program runs on several nodes: an attempt is over when nothing of it is left on any of them.

A program's step ends with its srun, of which two processes watch over each other. Who kills both, as the keeper does
with all that a stage process leaves behind, leaves ranks on the other nodes. So the steps of the job are asked for.
"""

from __future__ import annotations

import subprocess
import time

from hpcurate.stage_process.messages import Done, Ready, ShardJob
from hpcurate.store.heartbeat import AtWork
from hpcurate.worker.hosts import Ahead, Log, SetupFailed, StageHost

PATIENCE_S = 60.0
"""So long steps may take to end after their ranks were killed; then the worker leaves, and its job takes them along."""
ANSWER_S = 20.0
LOOK_S = 0.5


class OnSeveralNodes(StageHost):
    """See `StageHost`."""

    def __init__(self, host: StageHost, job: str, log: Log) -> None:
        """`job`: Slurm's number of it."""
        self._host, self._job, self._log = host, job, log
        self._left = ""
        """Why ranks of an attempt that is over may still run."""

    def start(self) -> Ready:
        """See `StageHost`."""
        return self._host.start()

    def run(self, job: ShardJob, ahead: Ahead | None = None) -> Done:
        """See `StageHost`. Nothing is claimed ahead: that would share the nodes."""
        if self._left:
            raise SetupFailed(f"ranks of the attempt before may still run on the other nodes: {self._left}")
        try:
            return self._host.run(job)
        finally:
            self._left = self._ended()

    def _ended(self) -> str:
        """End the job's steps, all but the worker's own; why that is not known to have happened, or nothing."""
        end, steps = time.monotonic() + PATIENCE_S, [""]
        try:
            while (steps := self._steps()) and time.monotonic() < end:
                _output(["scancel", "--quiet", "--signal=KILL", *steps])
                time.sleep(LOOK_S)
        except (OSError, subprocess.SubprocessError) as error:
            self._log(f"the steps of job {self._job} cannot be ended: {error}")
            return str(error)
        return f"{', '.join(steps)} did not end within {PATIENCE_S:g} s" if steps else ""

    def _steps(self) -> list[str]:
        names = _output(["squeue", "--noheader", "--steps", f"--job={self._job}", "--format=%i"]).split()
        return [name for name in names if name.rpartition(".")[2].isdigit()]

    def at_work(self) -> AtWork | None:
        """See `StageHost`."""
        return self._host.at_work()

    def kill(self) -> None:
        """See `StageHost`."""
        self._host.kill()

    def close(self) -> None:
        """See `StageHost`."""
        self._host.close()


def _output(words: list[str]) -> str:
    """What a client of Slurm's prints. Raises OSError, SubprocessError."""
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=ANSWER_S, stdin=subprocess.DEVNULL)
    return done.stdout
