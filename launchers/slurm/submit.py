"""One sbatch of a script that submitit makes.

submitit's own call of sbatch has no limit of time, changes the caller's environment, wants an srun on this host, and
renames files after the answer: an error there would lose the id of a job that runs. `_make_sbatch_string` is a private
name of submitit: only this file has it, it is why its version is bounded, and why a golden file holds the script.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from hpcurate.errors import LauncherError, SubmissionUnknown
from hpcurate.system.processes import nonce
from launchers.slurm.clients import call, error_lines
from launchers.slurm.options import log_pattern

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

SUBMIT_S = 120.0
"""How long sbatch may take: it tries again by itself for a while."""
ANSWER = re.compile(r"^(?:Submitted batch job )?(\d+)(?:;\S*| on cluster \S+)?\s*$", re.MULTILINE)
"""The id in sbatch's output, also of a site's wrapper that prints more."""
UNANSWERED = re.compile(
    r"timed out|timeout|unable to contact|zero bytes|communication|connection|transport endpoint|send/recv"
    r"|(send|recv|receive) (error|failure)|host is down|no route to host|unreachable|broken pipe"
    r"|backup controller|not responding",
    re.IGNORECASE,
)
"""How sbatch reports that it lost the controller: whether that had taken the job by then is open."""


class BatchJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job, or an array of `elements`."""

    folder: str
    """Where script and log lie."""
    name: str
    options: Mapping[str, Any]
    """Of sbatch, in its own spelling."""
    command: str
    """Last shell lines of the script."""
    log: str
    """Name of the log, with sbatch's patterns."""
    setup: tuple[str, ...] = ()
    """Shell lines before the command."""
    elements: int | None = None
    """Of the array; None: a plain job."""
    parallel: int | None = None
    """Elements that may run at once; None: all."""

    def script(self) -> str:
        """Exact text of the sbatch script. Writes and submits nothing."""
        from submitit.slurm.slurm import _make_sbatch_string  # imported late: only a call that submits pays for it

        return str(_make_sbatch_string(command=self.command, folder=self.folder, **self.parameters()))

    def submit(self) -> str:
        """Queue it; its job id. Raises LauncherError with Slurm's words, SubmissionUnknown where it may be queued."""
        from pathlib import Path

        folder = Path(self.folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        script = folder / f".{nonce()}_submission.sh"
        script.write_text(self.script())
        try:
            job = submitted(self.name, self._sbatch(script))
        except SubmissionUnknown:
            raise
        except LauncherError:
            script.unlink(missing_ok=True)
            raise
        with suppress(OSError):  # it is queued: nothing may come between its id and the caller
            script.rename(folder / f"{job}_submission.sh")
        return job

    def _sbatch(self, script: Path) -> subprocess.CompletedProcess[str]:
        try:
            return call(["sbatch", "--parsable", str(script)], SUBMIT_S)
        except LauncherError as error:
            if isinstance(error.__cause__, OSError):  # it did not start
                raise
            raise SubmissionUnknown(f"sbatch of {self.name} did not answer: {error}") from None

    def parameters(self) -> dict[str, Any]:
        """What submitit's script maker gets. Pure.

        Our options go through `additional_parameters`, which come last and take any sbatch option; `wckey` is
        left out where nobody asks for it, because some sites refuse an unknown one.
        """
        written = {k: v for k, v in self.options.items() if v is not None and v is not False}
        written |= {"output": log_pattern(self.folder, self.log)}
        found: dict[str, Any] = {"job_name": self.name, "use_srun": False, "stderr_to_stdout": True}
        found |= {"additional_parameters": written, "setup": list(self.setup) or None}
        if "wckey" not in written:
            found["wckey"] = None
        if self.elements is not None:
            found |= {"map_count": self.elements, "array_parallelism": self.parallel or self.elements}
        return found


def submitted(name: str, done: subprocess.CompletedProcess[str]) -> str:
    """Job id in what sbatch printed. Pure. Raises LauncherError if refused, SubmissionUnknown if that is open."""
    found = ANSWER.findall(done.stdout)
    if done.returncode == 0 and found:
        return str(found[-1])
    message = error_lines(done.stderr)
    if done.returncode > 0 and message and not found and not UNANSWERED.search(message):
        raise LauncherError(f"sbatch refused {name}: {message}")
    how = f"status {done.returncode}" if done.returncode >= 0 else f"signal {-done.returncode}"
    said = message or done.stdout.strip()[-200:] or "no output"
    raise SubmissionUnknown(f"sbatch of {name} ended with {how}, and whether the job is queued is open: {said}")
