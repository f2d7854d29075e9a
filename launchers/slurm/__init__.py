"""`launcher=slurm`: job arrays through submitit, and gates that move the run on."""

from launchers.slurm.launcher import SlurmLauncher

__all__ = ["SlurmLauncher"]
