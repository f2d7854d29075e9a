"""What the engine asks of a launcher, and how one is made from its configuration."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Protocol

import attrs

from hpcurate.errors import ConfigError
from hpcurate.planning.pipeline import Pipeline, PlannedStage, suggestion
from hpcurate.planning.plan import Plan


@attrs.define(frozen=True, kw_only=True)
class Submission:
    """One round, ready to start: plan, code and logs lie in its folder."""

    plan: Plan
    path: str
    """Folder of the submission; `plan.json` lies there."""
    name: str
    """Unique job name."""
    stage: PlannedStage


@attrs.define(frozen=True, kw_only=True)
class JobRow:
    """A line of the queue."""

    id: str
    name: str
    state: str
    """As the scheduler spells it: PENDING, RUNNING, …"""
    reason: str = ""
    """Why it waits."""
    start: str = ""
    """When it is expected to start, local time; empty if the scheduler does not say."""
    count: int = 1
    """Elements that the line stands for."""


class Launcher(Protocol):
    """Turns plans into running workers. Knows plans, not stages."""

    patience_s: float
    """How long to wait for room under a submit limit."""
    kind: str
    """`inline`, `local` or `slurm`."""

    @property
    def stays(self) -> bool:
        """Whether the driver stays until the end unless told otherwise."""

    @property
    def gates(self) -> bool:
        """Whether jobs of their own move the run on."""

    @property
    def node_local(self) -> tuple[str, ...]:
        """Folders on the nodes' own disks, best first."""

    @property
    def node_quota(self) -> int | None:
        """Bytes that may be used there; None: what is free."""

    @property
    def other_python(self) -> bool:
        """Whether workers run another Python than the one that submits."""

    def check(self, pipeline: Pipeline, store: str) -> None:
        """Refuse, before anything is written, what could never run. Raises LauncherError."""

    def most_workers(self, stage: PlannedStage) -> int:
        """Workers of this stage that may run at once here."""

    def submit(self, submission: Submission) -> tuple[str, ...]:
        """Start the workers; job ids. `inline` returns when they are done."""

    def alive(self, jobs: Sequence[str]) -> bool | None:
        """Whether any of the jobs is queued or runs; None if nobody can tell."""

    def jobs(self, jobs: Sequence[str]) -> list[JobRow] | None:
        """What the queue says of each job, asked once; None if nobody can tell."""

    def find(self, name: str) -> tuple[str, ...] | None:
        """Jobs of that name, queued or past; None if nobody can tell."""

    def submit_gate(
        self, run_path: str, code: str, stage: str, number: int, jobs: Sequence[str], *, last: bool
    ) -> str | None:
        """Queue the gate that follows these jobs, of the `last` stage or not; None where the driver itself stays.

        Raises GateRefused where a submit limit leaves no room for it.
        """

    def cancel(self, jobs: Sequence[str]) -> None:
        """Stop the jobs."""

    def wait(self, seconds: float) -> None:
        """Wait for a change, at most so long."""


def make_launcher(config: dict[str, Any]) -> Launcher:
    """The launcher that `{"_target_": "module.Class", …}` describes. Raises ConfigError."""
    parameters = {k: v for k, v in config.items() if k != "_target_"}
    module, _, name = str(config["_target_"]).rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"launcher._target_={config['_target_']}: {error}") from None
    names = [f.name for f in attrs.fields(cls) if f.init]
    for key in parameters:
        if key not in names:
            raise ConfigError(f"launcher.{key}: {name} has no such field; {suggestion(key, names)}")
    launcher: Launcher = cls(**parameters)
    return launcher
