"""A real Slurm of four nodes on one machine: what `scripts/dev-slurm` is made of.

`folder` has the paths, `config` renders the configuration files, `processes` starts and stops
processes by recorded pid, `ports` holds free ports, `packages` finds the programs, `daemons` brings a
Slurm up and down.
"""
