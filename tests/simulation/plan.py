"""What an episode is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs


@attrs.define(frozen=True, kw_only=True)
class Plan:
    """What an episode is made of: everything but the order of steps, which follows from the seed. All 0: undisturbed."""

    stages: tuple[str, ...] = ("double",)
    keeps_results: bool = False
    """Files of shards are freed while the runs work."""
    tasks: int = 3
    shard_tasks: int = 1
    workers: int = 2
    processes: int = 1
    nodes: int = 2
    launcher: str = "slurm"
    pairs: bool = False
    """Two shards a fan-out folder, so that a stage has many."""
    alone: bool = False
    """Workers on a list, without anybody who drives them."""
    slowest_s: float = 60.0
    fastest_s: float = 0.1
    budget: int = 50
    """Tasks, or groups, that may fail."""
    limit_s: float = 0.0
    """Wall time of a worker; 0: without end. Where less than `fastest_s`, no shard can ever be done."""
    kill_wait: bool = True
    longer: bool = False
    """Jobs may have more time than usual."""
    ahead: float = 0.0
    """Share of the shards during which their stage process is given the next one."""
    poison: int = 0
    """More tasks, which kill their stage process."""
    accidents: int = 0
    """Tasks whose stage process dies once while they are in work alone, by no fault of theirs."""
    doomed: bool = False
    """With one task nothing can be gathered."""
    killers: int = 0
    """More tasks, which have their whole job killed for its memory."""
    hungry: int = 0
    """More tasks, of which each needs more memory than usual: twice as much, four times, or more than there is."""
    bugs: int = 0
    """More tasks that fail in one of the stages, until their bug is fixed."""
    # the storage
    stale_s: float = 0.0
    errors: float = 0.0
    hangs: float = 0.0
    """Share of reads whose answer takes up to ten minutes to arrive."""
    links: bool = True
    lost_rows: float = 0.0
    """Share of files that lose their end."""
    bad_files: int = 0
    """Files of rounds that one of the login nodes cannot read for a while."""
    cuts: int = 0
    """Times that a node does not reach the storage for a while, and believes its cache."""
    full: int = 0
    """Times in which the disk is full."""
    # processes and machines
    stops: float = 0.0
    kills: int = 0
    host_deaths: int = 0
    clock_jumps: int = 0
    namespaces: int = 1
    # the scheduler
    silent: float = 0.0
    empty: float = 0.0
    unanswered: float = 0.0
    late_s: float = 10.0
    """So much later those are queued at most."""
    refused: float = 0.0
    interrupts: int = 0
    """Times that who submits is told to leave meanwhile."""
    most_queued: int = 0
    """Elements that may be queued at once; 0: any number."""
    others: int = 0
    """Times in which other jobs of the user leave no room for more."""
    preempted: int = 0
    lost_nodes: int = 0
    foreign: bool = False
    """One of the login nodes belongs to another cluster on the same storage."""
    accounting: bool = True
    # people
    again: int = 0
    """Times that a user types the command again, anywhere."""
    at_once: bool = False
    """Two type it in the same second."""
    trial: bool = False
    """A run with a limit before the full one."""
    stores: int = 1
    """2: the same pipeline in another store, too, by the same user, with runs of the same names."""
    sweep: bool = False
    """Another run that shares all stages but the last."""
    sweep_s: float = 5.0
    """It begins so much later at most."""
    growth: int = 0
    changes: int = 0
    cancels: int = 0
    cancels_at_gates: int = 0
    """So many gates begin while a user types `hpcurate cancel`."""
    retries: int = 0
    """Times that a user types `hpcurate retry`, anywhere; beside it, maybe, the same again, the command or a cancel."""
    logout: bool = False
    """The login node on which the first call was typed dies."""
    purges: int = 0
    stays: bool = False
    """The calls stay (wait=true)."""


def changed(plan: Plan, values: Mapping[str, Any]) -> Plan:
    """The plan with other values."""
    return attrs.evolve(plan, **values)
