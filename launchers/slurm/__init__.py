"""`launcher=slurm`: job arrays through submitit, and gates that move the run on."""

from typing import TYPE_CHECKING

from launchers.slurm.launcher import SlurmLauncher

if TYPE_CHECKING:  # a method that is missing, or has another form, fails the type check
    from hpcurate.runs.launcher import Launcher

    _IS_COMPLETE: type[Launcher] = SlurmLauncher

__all__ = ["SlurmLauncher"]
