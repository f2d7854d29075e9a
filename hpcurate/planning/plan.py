"""Plans: all that a round's workers need to know, frozen in one file before anything is submitted (I3)."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs

from hpcurate.spec import StageSpec
from hpcurate.stage import Resources
from hpcurate.units import megabytes

PLAN_VERSION = 1


@attrs.define(frozen=True, kw_only=True)
class Timing:
    """Clocks of the claim protocol, in seconds."""

    heartbeat_s: float = 30.0
    """How often a worker raises its counter."""
    lease_s: float = 300.0
    """How long a counter may stand still before its worker counts as gone."""
    listing_s: float = 30.0
    """How often a worker lists the claims, at most."""
    drain_s: float = 120.0
    """How long before the end of its wall time a worker is told to drain."""


@attrs.define(frozen=True)
class WeightsRef:
    """Weights that a stage reads."""

    names: tuple[str, ...]
    """What the stage's code may call the model."""
    identity: str
    """`repo@commit`: part of the stage's fingerprint."""
    folder: str
    """Name of their folder under `<store>/weights`."""
    env: str | None = None
    """Environment that loads them, where the stage names none."""


def weights_from_json(plain: Iterable[dict[str, Any]]) -> tuple[WeightsRef, ...]:
    """Inverse of `attrs.asdict` for several."""
    return tuple(WeightsRef(**{**one, "names": tuple(one["names"])}) for one in plain)


@attrs.define(frozen=True, kw_only=True)
class Environment:
    """How a stage process is started. The default: with the worker's own Python."""

    python: tuple[str, ...] = ()
    """Command that starts its Python; empty: the worker's own. In a container's, `{store}` and `{node}` stand for
    folders that it must see."""
    prefix: str | None = None
    """Prefix that is entered: PATH, CONDA_PREFIX, and what its activation scripts set."""
    variables: dict[str, str] = attrs.field(factory=dict)
    """What the activation scripts of a prefix that we have not built set."""
    container: bool = False
    """Whether the command leads into a container, which inherits neither descriptors nor, perhaps, variables."""
    pack: str | None = None
    """Folder of the packed prefix, which is unpacked on the node."""
    digest: str = ""
    """Of its lock, or what else tells it from another; recorded, no part of a fingerprint."""

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Environment:
        """Inverse of `attrs.asdict`."""
        return cls(**{**plain, "python": tuple(plain["python"])})


@attrs.define(frozen=True, kw_only=True)
class Plan:
    """One submission: one stage, one round."""

    run: str
    stage: str
    """Name in the pipeline."""
    folder: str
    """Name of the stage's folder in the store."""
    store: str
    spec: StageSpec
    lists: tuple[str, ...]
    """Shard lists of the run's live set."""
    round: int
    workers: int
    processes: int = 1
    """Stage processes of one worker."""
    resources: Resources = Resources()
    """Of one stage process."""
    batch_size: int = 1
    gather: bool = False
    attempts: int = 5
    """Attempts without a result after which a shard's tasks become dead letters."""
    task_timeout: float | None = None
    """Seconds one batch may take; None: no bound."""
    env: Environment = Environment()
    code: str | None = None
    """Frozen copy of the code, first on the import path."""
    versions: dict[str, str] = attrs.field(factory=dict)
    """Distribution → version that the worker's own environment is to have; empty where the stage has another."""
    weights: tuple[WeightsRef, ...] = ()
    node_local: tuple[str, ...] = ()
    """Folders on the nodes' own disks where weights are brought, best first."""
    node_quota: int | None = None
    """Bytes that hpcurate may use there; None: what is free."""
    node_setup: str = ""
    """Names what `setup_on_node` makes: the same for all submissions of the same stage with the same parameters."""
    timing: Timing = Timing()
    version: int = PLAN_VERSION

    @property
    def cpus(self) -> int:
        """Cores of one worker."""
        return max(1, math.ceil(self.resources.cpus * self.processes))

    @property
    def gpus(self) -> int:
        """GPUs of one worker."""
        return math.ceil(round(self.resources.gpus * self.processes, 6))

    @property
    def memory_mb(self) -> int:
        """Memory of one worker, MiB."""
        return megabytes(self.resources.memory) * self.processes

    def save(self, submission: str) -> None:
        """Write `plan.json` into the submission's folder, once."""
        Path(submission, "plan.json").write_text(json.dumps(attrs.asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, submission: str) -> Plan:
        """Read `plan.json`."""
        return cls.from_json(json.loads(Path(submission, "plan.json").read_text()))

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Plan:
        """Inverse of `attrs.asdict`."""
        plain = dict(plain)
        plain["spec"] = StageSpec(**plain["spec"])
        plain["resources"] = Resources(**plain["resources"])
        plain["timing"] = Timing(**plain["timing"])
        plain["weights"] = weights_from_json(plain.get("weights", ()))
        plain["env"] = Environment.from_json(plain["env"])
        plain["node_local"] = plain.get("node_local", ())
        for name in ("lists", "node_local"):
            plain[name] = tuple(plain[name])
        return cls(**plain)


@attrs.define(frozen=True, kw_only=True)
class WorkerShape:
    """What one worker needs of its node."""

    cpus: int
    gpus: int
    memory_mb: int
    """MiB."""


def worker_shape(stage: Any) -> WorkerShape:
    """Of a planned stage's workers: all its processes together. Pure."""
    needs, processes = stage.resources, stage.processes
    return WorkerShape(
        cpus=max(1, math.ceil(needs.cpus * processes)),
        gpus=math.ceil(round(needs.gpus * processes, 6)),
        memory_mb=megabytes(needs.memory) * processes,
    )


def plan_needs(stage: Any) -> Plan:
    """A plan that says only what one worker of a planned stage needs: for checks before there is a run. Pure."""
    return Plan(
        run="", stage=stage.name, folder=stage.folder, store="", spec=stage.spec, lists=(), round=1, workers=1,
        processes=stage.processes, resources=stage.resources,
    )  # fmt: skip


def processes_per_worker(resources: Resources, wanted: int | None) -> int:
    """How many stage processes share a worker: as wanted, or as many as fill its one GPU. Pure."""
    if wanted:
        return wanted
    if 0 < resources.gpus < 1:
        return max(1, int(1 / resources.gpus + 1e-9))
    return 1


def worker_count(open_shards: int, processes: int, wanted: int | None, most: int) -> int:
    """Exactly as many workers as have use, within what was asked for and what there may be. Pure."""
    useful = math.ceil(open_shards / max(1, processes))
    return max(1, min(useful, wanted or most, most))


def submission_name(stage: str, round_number: int) -> str:
    """Folder name of a submission."""
    return f"{stage}-{round_number:04d}"


def log_path(submission: str, worker: int) -> str:
    """Log of one worker and its stage processes."""
    return os.path.join(submission, "logs", f"{worker:04d}.log")
