"""One sbatch through submitit, which writes the script and submits it.

Its pickles, checkpoints and signal handlers are not used. `_submit_command` and `_make_sbatch_string` are private names
of submitit: only this file has them, they are why its version is bounded, and why a golden file holds the script.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from hpcurate.errors import LauncherError
from launchers.slurm.clients import clean_environment, error_lines


@attrs.define(frozen=True, kw_only=True)
class BatchJob:
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
        """Queue it; its job id. Raises LauncherError with Slurm's own words."""
        from submitit.slurm.slurm import SlurmExecutor

        Path(self.folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            executor = SlurmExecutor(folder=Path(self.folder))
            executor.parameters = self.parameters()
            with clean_environment():
                return str(executor._submit_command(self.command).job_id)
        except Exception as error:  # submitit's FailedJobError carries sbatch's stderr
            raise LauncherError(f"sbatch refused {self.name}: {error_lines(str(error))}") from None

    def parameters(self) -> dict[str, Any]:
        """What submitit's script maker gets. Pure.

        Our options go through `additional_parameters`, which come last and take any sbatch option; `wckey` is
        left out where nobody asks for it, because some sites refuse an unknown one.
        """
        written = {k: v for k, v in self.options.items() if v is not None and v is not False}
        written |= {"output": os.path.join(self.folder, self.log)}
        found: dict[str, Any] = {"job_name": self.name, "use_srun": False, "stderr_to_stdout": True}
        found |= {"additional_parameters": written, "setup": list(self.setup) or None}
        if "wckey" not in written:
            found["wckey"] = None
        if self.elements is not None:
            found |= {"map_count": self.elements, "array_parallelism": self.parallel or self.elements}
        return found
