"""Plans: all that a round's workers need to know, frozen in one file before anything is submitted (I3)."""

from __future__ import annotations

import json
import math
import os

import attrs
import msgspec

from hpcurate.planning.pipeline import PlannedStage, Timing
from hpcurate.store.filesystem import POSIX, Filesystem
from hpcurate.units import AUTO, job_minutes, megabytes, minutes
from hpcurate.verdict import Allowance, Limits


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One submission: a stage, and what a round adds to it."""

    stage: PlannedStage
    run: str
    store: str
    lists: tuple[str, ...]
    """Shard lists of the run's live set."""
    results: str = ""
    """Names the values of the results among the stage's parameters, for which these lists are."""
    round: int
    workers: int
    shards: int = 0
    """That were open when it was made."""
    code: str | None = None
    """Frozen copy of the code, first on the import path."""
    versions: dict[str, str] = msgspec.field(default_factory=dict)
    """Distribution → version that the worker's own environment is to have; empty where the stage has another."""
    node_local: tuple[str, ...] = ()
    """Folders on the nodes' own disks for weights and environments, best first."""
    node_quota: int | None = None
    """Bytes that hpcurate may use there; None: what is free."""
    seconds_per_weight: float = 0.0
    """What committed shards took, for a unit of their weight: what is expected of the others; 0: nothing."""
    limits: Limits = Limits()
    """Memory and time of its workers, and what there may be in other rounds."""
    exclude: tuple[str, ...] = ()
    """Nodes that none of its workers may run on."""
    gpu_probe: bool = True
    """Whether a worker looks at its GPUs before it begins."""
    timing: Timing = Timing()
    durability: str = "full"
    """See `Pipeline`."""

    def save(self, submission: str, filesystem: Filesystem = POSIX) -> None:
        """Write `plan.json` into the submission's folder, once."""
        data = json.dumps(msgspec.to_builtins(self), indent=1).encode() + b"\n"
        filesystem.replace(os.path.join(submission, "plan.json"), data)

    @classmethod
    def load(cls, submission: str, filesystem: Filesystem = POSIX) -> Plan:
        """Read `plan.json`."""
        return msgspec.convert(json.loads(filesystem.read(os.path.join(submission, "plan.json"))), cls)


class WorkerShape(msgspec.Struct, frozen=True):
    """What one worker asks for: all its stage processes together."""

    cpus: int
    gpus: int
    memory_mb: int
    """MiB."""


def worker_shape(stage: PlannedStage) -> WorkerShape:
    """What one worker of the stage asks for. Pure."""
    needs, processes = stage.resources, stage.processes
    return WorkerShape(
        cpus=max(1, math.ceil(needs.cpus * processes)),
        gpus=math.ceil(round(needs.gpus * processes, 6)),
        memory_mb=megabytes(needs.memory) * processes,
    )


def memory_mb(plan: Plan) -> int:
    """MiB that each worker of the round has. Pure."""
    return plan.limits.here.memory_mb or worker_shape(plan.stage).memory_mb


MORE_MEMORY = 4
"""So many times as much as usual is the most memory of a round, where a stage sets no `max_memory`."""


def limits_of(stage: PlannedStage, most: Allowance | None = None, has: Allowance | None = None) -> Limits:
    """What workers of the stage may have, in a round that has at least so much. Pure.

    `most` as `Launcher.most` says; where nobody has said it, no more than usual.
    """
    ordinary = Allowance(memory_mb=worker_shape(stage).memory_mb, seconds=job_minutes(stage.resources.time) * 60.0)
    return Limits(ordinary=ordinary, most=most or ordinary, here=ordinary.raised(has or ordinary))


def most_of(stage: PlannedStage, nodes_mb: int, end_s: float) -> Allowance:
    """The most that a worker may have where the largest node has so much memory, and jobs have so long; 0: any. Pure.

    As many whole stage processes fit into it, and it is never less than usual.
    """
    usual, processes = limits_of(stage).ordinary, stage.processes
    wanted = megabytes(stage.max_memory) * processes if stage.max_memory else MORE_MEMORY * usual.memory_mb
    memory = min(wanted, nodes_mb or wanted) // processes * processes
    ends = [seconds for seconds in (end_s, minutes(stage.max_time) * 60.0 if stage.max_time else 0.0) if seconds]
    least = 0.0 if stage.resources.time == AUTO else usual.seconds
    return Allowance(memory_mb=max(usual.memory_mb, memory), seconds=max(least, min(ends)) if ends else 0.0)


def having(stage: PlannedStage, here: Allowance) -> PlannedStage:
    """The stage as the workers of a round have it that has so much. Pure."""
    memory, time = math.ceil(here.memory_mb / stage.processes), math.ceil(here.seconds / 60)
    return msgspec.structs.replace(
        stage, resources=attrs.evolve(stage.resources, memory=f"{memory}MB", time=f"{time}m")
    )


def worker_count(open_shards: int, processes: int, wanted: int | None, most: int) -> int:
    """Exactly as many workers as are needed, within what was asked for and what there may be. Pure."""
    useful = math.ceil(open_shards / max(1, processes))
    return max(1, min(useful, wanted or most, most))


def submission_name(stage: str, round_number: int) -> str:
    """Folder name of a submission."""
    return f"{stage}-{round_number:04d}"


def job_name(what: str, number: int, run: str, store: str) -> str:
    """Name of the jobs of a round, or of a gate: nobody else's jobs have it. Pure; `store` is its real path.

    The same pipeline on two stores has stages, rounds and runs of the same names. Short, and of letters, digits, `_`
    and `-` alone: squeue and sacct split names at commas, and sbatch takes `%` for a pattern.
    """
    import hashlib

    run_digest, store_digest = (hashlib.sha256(os.fsencode(text)).hexdigest()[:8] for text in (run, store))
    return f"{what}-r{number}-{run_digest}-{store_digest}"


def began(submission: str, filesystem: Filesystem = POSIX) -> set[int]:
    """Workers of a submission that began: each opens its log before anything else."""
    names = filesystem.names(os.path.join(submission, "logs"))
    return {int(name[:-4]) for name in names if name.endswith(".log") and name[:-4].isdigit()}


def log_path(submission: str, worker: int) -> str:
    """Log of one worker and its stage processes."""
    return os.path.join(submission, "logs", f"{worker:04d}.log")
