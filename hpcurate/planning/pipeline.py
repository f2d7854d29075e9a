"""A pipeline as frozen, plain values: all that the engine and `pipeline.json` have of it.

`planning/build.py` makes it from live stages; a gate, which reads it, imports no stage and no source.
"""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from hpcurate.errors import ConfigError
from hpcurate.fields import above_zero, option, suggestion
from hpcurate.named_stage import StageSpec
from hpcurate.planning.budget import Budget
from hpcurate.planning.relations import Relation
from hpcurate.planning.results import PlannedResult
from hpcurate.resources import Resources

__all__ = ["Environment", "Pipeline", "PlannedSource", "PlannedStage", "Timing", "WeightsRef"]


@attrs.define(frozen=True, kw_only=True)
class Timing:
    """Clocks of the claim protocol and of looking, in seconds."""

    heartbeat_s: float = option(30.0, "how often a worker raises its counter", check=above_zero)
    lease_s: float = option(
        300.0, "how long a counter may stand still before its worker counts as gone", check=above_zero
    )
    listing_s: float = option(30.0, "how often a worker lists the claims, at most", minimum=0)
    drain_s: float = option(120.0, "how long before the end of its wall time a worker is signalled to drain", minimum=0)
    hold_s: float = option(
        300.0, "how long a worker whose setup or node failed keeps its place in an array, at most", minimum=0
    )
    ask_s: float = option(
        30.0,
        "how often the scheduler is asked, at most; two answers so far apart that do not list a job are its end",
        minimum=1.0,
    )


class WeightsRef(msgspec.Struct, frozen=True):
    """Weights that a stage reads."""

    names: tuple[str, ...]
    """What the stage's code may call the model."""
    identity: str
    """`repo@commit`: part of the stage's fingerprint."""
    folder: str
    """Name of their folder under `<store>/weights`."""
    env: str | None = None
    """Environment that loads them, where the stage names none."""
    remote_code: bool = False
    """Whether Python code that comes with them may be run."""


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """How a stage process is started. The default: with the worker's own Python."""

    python: tuple[str, ...] = ()
    """Command that starts its Python; empty: the worker's own. In a container's, `{store}` and `{node}` stand for
    folders that it must see."""
    prefix: str | None = None
    """Prefix that is entered: PATH, CONDA_PREFIX, and what its activation scripts set."""
    variables: dict[str, str] = msgspec.field(default_factory=dict)
    """What the activation scripts of a prefix that we have not built set."""
    container: bool = False
    """Whether the command leads into a container, which inherits neither descriptors nor, perhaps, variables."""
    binds: tuple[str, ...] = ()
    """What it mounts of its node beside these folders."""
    pack: str | None = None
    """Folder of the packed prefix, which is unpacked on the node."""
    digest: str = ""
    """Of its lock, or what else distinguishes it from others; recorded, no part of a fingerprint."""

    def __str__(self) -> str:
        return " ".join(self.python) if self.container else self.digest or "current"


class PlannedSource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The source's place in the store."""

    folder: str
    identity: dict[str, Any]
    inputs: tuple[str, ...] = ()
    """Of several inputs: what the names of their lists begin with. They are no part of the identity."""


class PlannedStage(msgspec.Struct, frozen=True, kw_only=True):
    """One stage as the engine sees it, from `pipeline.json` to the worker."""

    name: str
    folder: str
    """`<name>-<fp12>`."""
    fingerprint: str
    identity: dict[str, Any]
    spec: StageSpec
    """Input files with their content, which a worker checks."""
    takes: str = ""
    """`module:qualname` of the tasks it is given, where that is a subclass of what it declares; else empty."""
    kinds: dict[str, str] = msgspec.field(default_factory=dict)
    """The same for each upstream, by its folder, where these give different classes; else empty."""
    after: tuple[str, ...]
    """Stages whose output this one reads; empty: the source."""
    relation: Relation
    """How it reads them."""
    needs: tuple[str, ...] = ()
    """Stages that have to be complete before it begins, and pass it no tasks."""
    allow_missing: int | None = None
    """Dead letters in the stages above with which it still begins; None: as many as the budget allows."""
    results: tuple[PlannedResult, ...] = ()
    """Its parameters that are results of such stages."""
    resources: Resources = Resources()
    """Of one stage process."""
    prepare: str = "threads"
    """Where `prepare` runs: in threads of the stage process, or in processes of its own."""
    device: str = "cpu"
    """What it computes on: "cuda" or "cpu"."""
    env: Environment = Environment()
    batch_size: int = 1
    workers: int | None = None
    """Array elements at most; None: as many as are needed."""
    processes: int = 1
    """Stage processes of one worker."""
    whole_node: bool = False
    """Whether each worker has a node to itself."""
    attempts: int = 5
    """Attempts without a result after which a shard's tasks become dead letters."""
    tries: int = 1
    """Of a task that raises what `retry_on` names."""
    retry_on: tuple[str, ...] | None = None
    """Class names of exceptions; None: transient ones of network and filesystem."""
    log_mb: float = 256.0
    """MiB of a worker's log; of a longer one the middle is left out."""
    backoff: float = 1.0
    """Seconds before the second try."""
    task_timeout: float | None = None
    """Seconds one batch may take; None: no limit."""
    setup_timeout: float | None = None
    """Seconds that setting up a stage process may take; None: no limit."""
    max_memory: str | None = None
    """Of a stage process, in a round for what ran out of it; None: four times as much as usual."""
    max_time: str | None = None
    """Of a job, in a round for what was not done in time; None: the partition's limit."""
    deterministic: bool = True
    checkpoints: bool = False
    """What its tasks have reached outlives an attempt."""
    publishes: bool = False
    """Its result is what it writes outside the store."""
    sbatch: dict[str, Any] = msgspec.field(default_factory=dict)
    weights: tuple[WeightsRef, ...] = ()
    node_setup: str = ""
    """Names what `setup_on_node` makes: the same for all runs of this class with these parameters and weights."""
    node_server: str = ""
    """Names the server that its nodes run beside it, by its command and its model's weights; empty: there is none."""
    code: dict[str, str] = msgspec.field(default_factory=dict)
    """`package/module.py` → digest, of the user's code behind a version; recorded, no part of the fingerprint."""

    @property
    def behind(self) -> tuple[str, ...]:
        """All stages that have to be complete before it begins; without any: the source alone."""
        return tuple(dict.fromkeys((*self.after, *self.needs)))

    @property
    def gpus(self) -> float:
        """GPUs of one stage process."""
        return self.resources.gpus if self.device == "cuda" else 0.0


class Pipeline(msgspec.Struct, frozen=True, kw_only=True):
    """A checked pipeline."""

    name: str
    source: PlannedSource
    stages: tuple[PlannedStage, ...]
    """In topological order."""
    budget: Budget = Budget()
    timing: Timing = Timing()
    durability: str = "full"
    """What a committed shard survives; see `DURABILITIES`."""

    @property
    def origin(self) -> str:
        """Fingerprint of the source, which names its folder: that of its identity, unless an alias says otherwise."""
        return str(next(stage.identity["upstream"][0] for stage in self.stages if not stage.after))

    def stage(self, name: str) -> PlannedStage:
        """The stage of that name. Raises ConfigError with the nearest name."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise ConfigError(f"there is no stage {name!r}; {suggestion(name, [s.name for s in self.stages])}")
