"""What sbatch is asked for: the options of arrays, gates, checks and servers, and the commands that they run. Pure."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hpcurate.planning.pipeline import PlannedStage
from hpcurate.planning.plan import WorkerShape
from hpcurate.runs.launcher import SERVER_WARNING, SERVER_WARNING_S, GateRequest, ServerNeeds
from hpcurate.site import SiteProfile
from hpcurate.start import module_command
from hpcurate.units import job_minutes, megabytes
from launchers.slurm.facts import SiteFacts

GATE_MINUTES = 30
"""Wall time of a gate, or the partition's limit if that is less."""
CHECK_MINUTES = 10
"""Wall time of a job that checks an environment."""
INSTEAD = {
    "mem": ("mem-per-cpu", "mem-per-gpu"),
    "gres": ("gpus", "gpus-per-node", "gpus-per-task"),
    "gpus-per-node": ("gres", "gpus", "gpus-per-task"),
}
"""Options that sbatch takes only one of: where a user sets another one, ours is left out."""

PATIENCE_S = 60.0
"""How long a call waits for room under a submit limit."""


class JobSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the launcher's fields and the site profile set for jobs; what a stage sets itself comes before both."""

    profile: SiteProfile = SiteProfile()
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    sbatch: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """For every job."""
    gate: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """For gates."""
    python: str = sys.executable
    """On the nodes."""
    setup: tuple[str, ...] = ()
    """Shell lines before a job's command; the profile's come before them."""
    max_parallel: int | None = None
    """Elements of an array that may run at once; None: all."""

    @property
    def setup_lines(self) -> tuple[str, ...]:
        """All shell lines before a job's command."""
        return (*self.profile.setup, *self.setup)

    def of_stage(self, stage: PlannedStage, shape: WorkerShape, drain_s: float) -> dict[str, Any]:
        """All options of a stage's array."""
        kind = "gpu" if shape.gpus else "cpu"
        return self._with_own(kind, self._resources(stage, shape, drain_s), dashed(stage.sbatch))

    def of_server(self, needs: ServerNeeds) -> dict[str, Any]:
        """All options of a server's job. It is not queued again: it would run with nobody looking."""
        asked: dict[str, Any] = {
            "cpus-per-task": needs.cpus,
            "mem": f"{needs.memory_mb}M",
            "time": job_minutes(needs.time),
            "signal": f"B:{SERVER_WARNING.name.removeprefix('SIG')}@{drain_seconds(SERVER_WARNING_S, needs.time)}",
            "nodes": 1,
            "no-requeue": True,
            **self._gpus(needs.gpus),
        }
        if needs.disk_mb:
            asked["tmp"] = f"{needs.disk_mb}M"
        return self._with_own("gpu" if needs.gpus else "cpu", asked, dashed(needs.sbatch))

    def of_check(self, stage: PlannedStage, shape: WorkerShape, drain_s: float) -> dict[str, Any]:
        """All options of a job that checks a stage's environment: the stage's own, for a short time."""
        return {**self.of_stage(stage, shape, drain_s), "time": CHECK_MINUTES}

    def of_gate(self, facts: SiteFacts, *, last: bool) -> dict[str, Any]:
        """All options of a gate; its time fits the partition."""
        options = {**self._common("gate"), **dashed(self.gate)}
        names = str(options.get("partition") or facts.default or "").split(",")
        limits = [p.max_minutes for p in map(facts.named, names) if p and p.max_minutes]
        asked: dict[str, Any] = {"cpus-per-task": 1, "mem": "1000M", "time": min([GATE_MINUTES, *limits])}
        if self.profile.mail:
            asked |= {"mail-user": self.profile.mail, "mail-type": "END,FAIL" if last else "FAIL"}
        return {**options, **asked, **dashed(self.gate)}

    def _resources(self, stage: PlannedStage, shape: WorkerShape, drain_s: float) -> dict[str, Any]:
        """What one worker needs."""
        needs = stage.resources
        asked: dict[str, Any] = {
            "cpus-per-task": shape.cpus,
            "mem": f"{shape.memory_mb}M",
            "time": job_minutes(needs.time),
            "signal": f"B:USR2@{drain_seconds(drain_s, needs.time)}",
            "nodes": needs.nodes,
        }
        if needs.nodes > 1:
            asked["ntasks-per-node"] = 1
        if stage.whole_node:
            asked["exclusive"] = True
        asked |= self._gpus(shape.gpus)
        if needs.disk is not None:
            asked["tmp"] = f"{megabytes(needs.disk)}M"
        return asked

    def _gpus(self, count: int) -> dict[str, Any]:
        """So many, as the site spells it."""
        key, _, value = self.profile.gres.format(n=count).partition("=")
        return {key: value} if count else {}

    def _with_own(self, kind: str, asked: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
        """What every job of a kind has, what ours needs, and what a user sets, who comes first."""
        common = self._common(kind)
        for key, others in INSTEAD.items():
            if any(other in own or other in common for other in others):
                asked.pop(key, None)
        return {**common, **asked, **own}

    def _common(self, kind: str) -> dict[str, Any]:
        """Of every job of a kind (cpu, gpu, gate): the launcher's own fields before the site profile's."""
        profile = self.profile
        partition = profile.partitions.get(kind) or profile.partitions.get("cpu" if kind == "gate" else "")
        site = {
            "partition": partition,
            "account": profile.account,
            "qos": profile.qos,
            "constraint": profile.constraint,
        }
        own = {"partition": self.partition, "account": self.account, "qos": self.qos, **dashed(self.sbatch)}
        return {k: v for k, v in site.items() if v is not None} | {k: v for k, v in own.items() if v is not None}


def dashed(options: Mapping[str, Any]) -> dict[str, Any]:
    """`cpus_per_task` → `cpus-per-task`: sbatch's own spelling."""
    return {key.replace("_", "-"): value for key, value in options.items()}


def without_nodes(options: Mapping[str, Any], nodes: Sequence[str]) -> dict[str, Any]:
    """The options for a job that runs on none of these, nor on those that its user leaves out."""
    names = [str(options["exclude"])] if options.get("exclude") else []
    return {**options, "exclude": ",".join([*names, *nodes])} if nodes else dict(options)


def log_pattern(folder: str, name: str) -> str:
    """For sbatch's `output`: what stands in `name` is a pattern, what stands in the folder is not."""
    return os.path.join(folder.replace("%", "%%"), name)


def flags(options: Mapping[str, Any]) -> list[str]:
    """Options as words of a command line."""
    kept = {key: value for key, value in options.items() if value is not None and value is not False}
    return [f"--{key}" if value is True else f"--{key}={value}" for key, value in kept.items()]


def drain_seconds(drain_s: float, time: str) -> int:
    """How long before the end Slurm is to signal: never so early that a short job has no time to work."""
    return int(min(drain_s, job_minutes(time) * 60 / 4))


def parts(workers: int, most: int) -> list[tuple[int, int]]:
    """(offset, elements) of each array when one holds at most `most` elements."""
    return [(start, min(most, workers - start)) for start in range(0, workers, most)]


# -- commands: one shell line, everything quoted, nothing interpreted -----------------------------------


def worker_command(python: str, code: str | None, submission: str, offset: int) -> str:
    """Of an array element."""
    return _line(python, code, "hpcurate.worker", submission, *(["--offset", str(offset)] if offset else []))


def gate_command(python: str, gate: GateRequest, patience_s: int) -> str:
    """Of a gate."""
    return _line(python, gate.code, "hpcurate.runs.gate", gate.run_path, gate.stage, str(gate.round), str(patience_s))


def compiled_command(python: str, words: Sequence[str], code: str) -> str:
    """Of an array element or a gate of a compiled folder: it finds out what it is to do as it begins."""
    return _line(python, code, "hpcurate.runs.compiled_job", *words)


def start_command(python: str, folder: str, code: str) -> str:
    """Of the job that starts the run of a compiled folder."""
    return _line(python, code, "hpcurate.cli.start.compiled", folder)


def check_command(python: str, code: str | None, folder: str, name: str) -> str:
    """Of a job that checks an environment."""
    return _line(python, code, "hpcurate.worker.check", folder, name)


def server_command(python: str, code: str | None, folder: str) -> str:
    """Of a server's job."""
    return _line(python, code, "hpcurate.serving.job", folder)


def _line(python: str, code: str | None, module: str, *words: str) -> str:
    return f"exec {shlex.join(module_command(python, code, module, *words))}"
