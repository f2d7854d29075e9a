"""What is worked on in the simulation: small numbers, and stages that are functions of them.

What a stage has to make of its input is known, so the result of any run can be told in advance.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from hpcurate import Stage, Task
from hpcurate.failures import DeadLetter, Ending
from hpcurate.planning.build import Step, build
from hpcurate.planning.options import Budget, StageOptions
from hpcurate.planning.pipeline import Pipeline, Timing
from hpcurate.planning.plan import Plan
from hpcurate.stage import Resources, WorkerInfo
from hpcurate.stage_process.messages import Done, Ready, ShardJob
from hpcurate.store.filesystem import Filesystem
from hpcurate.store.stats import ShardCounts
from hpcurate.worker.hosts import Hosts, Log, ShardEnded
from hpcurate.worker.node_staging import Place
from tests.simulation.kernel import Process


@attrs.define(kw_only=True)
class Number(Task):
    """A number, and who made it what it is."""

    value: int
    made_by: str = ""
    """Nonces of the attempts that it went through: no two attempts have the same output."""


class Double(Stage[Number, Number]):
    """Twice the value."""

    version = 1
    deterministic = False
    resources = Resources(cpus=1, memory="1GB", time="2h")


class Sift(Stage[Number, Number]):
    """Drops what is divisible by six."""

    version = 1
    deterministic = False
    resources = Resources(cpus=1, memory="1GB", time="2h")


class Collect(Stage[Number, Number]):
    """The sum of all, in one task."""

    version = 1
    gather = True
    deterministic = False
    resources = Resources(cpus=1, memory="1GB", time="2h")


STAGES: dict[str, type[Stage[Any, Any]]] = {"double": Double, "sift": Sift, "collect": Collect}
POISON = 1000
"""Values from here on kill their stage process whenever they are in work."""


@attrs.define
class Numbers:
    """A source: what the user has by now."""

    values: dict[str, int]
    task_type = Number

    def identity(self) -> dict[str, Any]:
        """See `Source`."""
        return {"source": "numbers"}

    def tasks(self) -> Iterator[Number]:
        """See `Source`."""
        for name, value in sorted(self.values.items()):
            yield Number(id=name, value=value)


def pipeline_of(names: Sequence[str], *, shard_tasks: int, processes: int, variant: int = 0) -> Pipeline:
    """The stages in a row. `variant`: another parameter of the last one, for a sweep."""
    last = names[-1]
    steps = {
        name: Step(STAGES[name](), StageOptions(shard_tasks=shard_tasks, processes=processes, batch_size=2, attempts=3))
        for name in names
    }
    return build(
        "p", Numbers({}), steps, budget=Budget(failed=50), timing=Timing(),
        epoch=lambda stage, fingerprint: variant if stage == last else 0,
    )  # fmt: skip


# -- what comes out -------------------------------------------------------------------------------------


def outcome(stage: str, row: dict[str, Any]) -> str:
    """passed, dropped or failed. Pure."""
    if row["value"] >= POISON:
        return "failed"
    return "dropped" if stage == "sift" and row["value"] % 6 == 0 else "passed"


def made(stage: str, rows: Sequence[dict[str, Any]], nonce: str) -> list[dict[str, Any]]:
    """Rows that an attempt makes of the rows of its shard. Pure."""
    if stage == "collect":
        total = sum(row["value"] for row in rows if row["value"] < POISON)
        digest = hashlib.sha256("".join(sorted(row["made_by"] for row in rows)).encode()).hexdigest()[:8]
        return [row_of("all", total, f"{digest}/{nonce}")]
    factor = 2 if stage == "double" else 1
    kept = [row for row in rows if outcome(stage, row) == "passed"]
    return [row_of(row["id"], row["value"] * factor, f"{row['made_by']}/{nonce}") for row in kept]


def row_of(name: str, value: int, made_by: str = "") -> dict[str, Any]:
    """A row as it is written."""
    return {"id": name, "parents": [], "weight": 1.0, "value": value, "made_by": made_by}


def encoded(rows: Sequence[dict[str, Any]]) -> bytes:
    """Lines of JSON."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def decoded(data: bytes) -> list[dict[str, Any]]:
    """The rows of some lines."""
    return [json.loads(line) for line in data.splitlines()]


def expected(values: dict[str, int], stages: Sequence[str]) -> tuple[dict[str, int], set[str]]:
    """(id → value of what the last stage passes on, ids of dead letters), if nothing happens. Pure."""
    rows, dead = [row_of(name, value) for name, value in sorted(values.items())], set()
    for stage in stages:
        dead |= {row["id"] for row in rows if outcome(stage, row) == "failed"} if stage != "collect" else set()
        rows = made(stage, rows, "")
    return {row["id"]: row["value"] for row in rows}, dead


# -- who does it ----------------------------------------------------------------------------------------


class SimHosts(Hosts):
    """See `Hosts`: stage processes that take their time, and die of poison."""

    threads = True

    def __init__(self, process: Process, filesystem: Filesystem, slowest_s: float) -> None:
        self._process, self._filesystem, self._slowest_s = process, filesystem, slowest_s

    def prepare(self, plan: Plan, infos: list[WorkerInfo]) -> None:
        """See `Hosts`."""

    def staging(self, plan: Plan, submission: str, log: Log) -> Any:
        """See `Hosts`."""
        return _NoStaging()

    def host(self, plan: Plan, info: WorkerInfo, place: Place, log: Log) -> SimStage:
        """See `Hosts`."""
        return SimStage(self._process, self._filesystem, plan.stage.name, self._slowest_s)

    def give_up(self, job: ShardJob, stage: str, reason: str) -> ShardCounts:
        """See `Hosts`."""
        attempt = _Attempt(self._filesystem, job, stage)
        rows = attempt.rows()
        return attempt.write([], {row["id"]: reason for row in rows}, rows)

    def close(self) -> None:
        """See `Hosts`."""


class _NoStaging:
    """Nothing has to be on the node."""

    def stage(self, stop: Any = None) -> Place:
        return Place(folder="/node")

    def close(self) -> None:
        """Nothing is held."""


class SimStage:
    """A stage process: see `StageHost`."""

    def __init__(self, process: Process, filesystem: Filesystem, stage: str, slowest_s: float) -> None:
        self._process, self._filesystem, self._stage, self._slowest_s = process, filesystem, stage, slowest_s
        self._killed = False

    def start(self) -> Ready:
        """See `StageHost`."""
        return Ready(environment={})

    def run(self, job: ShardJob) -> Done:
        """See `StageHost`. Raises ShardEnded."""
        attempt = _Attempt(self._filesystem, job, self._stage)
        try:
            rows = attempt.rows()
            dead = {row["id"]: job.poison[row["id"]] for row in rows if row["id"] in job.poison}
            left = [row for row in rows if row["id"] not in dead]
            for batch in [[row] for row in left] if job.isolate and self._stage != "collect" else [left]:
                self._work(job, batch)
            return Done(counts=attempt.write(left, dead, rows), environment={})
        except OSError as error:
            raise ShardEnded(Ending.STORE, str(error)) from error

    def _work(self, job: ShardJob, batch: Sequence[dict[str, Any]]) -> None:
        kernel = self._process.kernel
        kernel.step("work", job.shard)
        kernel.suspend(kernel.now + kernel.random.uniform(0.1, self._slowest_s))
        if self._killed:
            raise ShardEnded(Ending.FREE, "its stage process was asked to leave")
        if self._stage != "collect" and any(row["value"] >= POISON for row in batch):
            raise ShardEnded(Ending.CRASH, "signal 11", tuple(row["id"] for row in batch))

    def kill(self) -> None:
        """See `StageHost`."""
        self._killed = True

    def close(self) -> None:
        """See `StageHost`."""


@attrs.define(frozen=True)
class _Attempt:
    """Reads and writes the files of one attempt."""

    filesystem: Filesystem
    job: ShardJob
    stage: str

    def rows(self) -> list[dict[str, Any]]:
        found = []
        for path, low, high in self.job.inputs:
            rows = decoded(self.filesystem.read(path))
            if len(rows) < high:
                raise ShardEnded(Ending.STORE, f"{path} has {len(rows)} rows")
            found += rows[low:high]
        return found

    def write(
        self, left: Sequence[dict[str, Any]], dead: dict[str, str], rows: Sequence[dict[str, Any]]
    ) -> ShardCounts:
        nonce = self.job.directory.rpartition(".")[2]
        passed = made(self.stage, left, nonce) if left or self.job.whole else []
        ends = [outcome(self.stage, row) for row in left] if self.stage != "collect" else ["passed"] * len(left)
        dropped = [row for row, end in zip(left, ends, strict=True) if end == "dropped"]
        self._put("tasks.jsonl", encoded(passed))
        self._put("dropped.jsonl", encoded([{"id": row["id"], "input": True, "reason": "six"} for row in dropped]))
        letters = [DeadLetter(id=name, stage=self.stage, error="crash", message=why) for name, why in dead.items()]
        if letters:
            self._put("failed.jsonl", b"".join(letter.line() for letter in letters))
        return ShardCounts(
            tasks_in=len(rows),
            tasks_out=len(passed),
            passed=len(rows) - len(dropped) - len(dead),
            dropped=len(dropped),
            failed=len(dead),
            weight_out=float(len(passed)),
        )

    def _put(self, name: str, data: bytes) -> None:
        self.filesystem.create(os.path.join(self.job.directory, name), data)
