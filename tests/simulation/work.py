"""What is worked on in the simulation: small numbers, and stages that are functions of them.

What a stage has to make of its input is known, so the result of any run can be told in advance.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType, SimpleNamespace
from typing import Any

import attrs
import msgspec

from hpcurate import Stage
from hpcurate.errors import StoreFailed
from hpcurate.failures import Blame, Ending
from hpcurate.group import SortRows
from hpcurate.members import resolve_types
from hpcurate.planning.budget import Budget
from hpcurate.planning.build import Step, build
from hpcurate.planning.options import StageOptions
from hpcurate.planning.pipeline import Pipeline, PlannedStage, Timing
from hpcurate.planning.plan import Plan
from hpcurate.planning.relations import Groups, Slices
from hpcurate.spec import from_spec
from hpcurate.stage import WorkerInfo
from hpcurate.stage_process import attempt, output
from hpcurate.stage_process.input import rows_of
from hpcurate.stage_process.messages import Done, InWork, Ready, ShardJob
from hpcurate.stage_process.output import give_up
from hpcurate.stage_process.raised import RAISED
from hpcurate.stage_process.runner import Runner, ShardRunner
from hpcurate.stage_process.sort_step import SortRunner
from hpcurate.store.files import Files
from hpcurate.store.heartbeat import AtWork
from hpcurate.store.stats import ShardCounts
from hpcurate.system.memory import MemoryGroup
from hpcurate.worker.hosts import Ahead, Hosts, Log, ShardEnded
from hpcurate.worker.node_staging import Place
from tests.simulation.filesystem import Client, Disk
from tests.simulation.groups import (
    BEFORE,
    GROUPED,
    MATCH,
    SORT,
    TEAM,
    Match,
    Right,
    Team,
    dies_where_sorted,
    lost_with,
    made_of_groups,
    sort_step,
    sorted_by,
    sorted_rows,
    whole_groups,
)
from tests.simulation.kernel import Process, Thread, Violation
from tests.simulation.results import READS, SUM, WAITS_FOR
from tests.simulation.tasks import Note, Number, Works


class Worked(Works, Stage[Number, Number]):
    """Whose work takes its time, and may kill."""

    def process(self, tasks: list[Number]) -> list[Number]:
        """Each task by itself."""
        self.work(tasks)
        if buggy := [task.id for task in tasks if task.id in self.bugs]:
            raise ValueError(f"there is a bug in {buggy[0]}.")
        return [made for task in tasks if (made := self.one(task)) is not None]

    def one(self, task: Number) -> Number | None:
        """What becomes of it."""
        return Number(id=task.id, value=task.value, made_by=f"{task.made_by}/{self.nonce}")


class Double(Worked):
    """Twice the value."""

    def one(self, task: Number) -> Number | None:
        """See `Worked`."""
        return Number(id=task.id, value=2 * task.value, made_by=f"{task.made_by}/{self.nonce}")


class Sift(Worked):
    """Drops what is divisible by six."""

    def one(self, task: Number) -> Number | None:
        """See `Worked`."""
        if task.value % 6 == 0:
            self.drop(task, "six")
            return None
        return super().one(task)


class Make(Worked):
    """Always makes the same of a task, and a file for each shard, which the stage after it reads."""

    deterministic = True

    def one(self, task: Number) -> Number | None:
        """See `Worked`."""
        return Number(id=task.id, value=task.value, made_by=f"{task.made_by}/same")


class Copy(Make):
    """The same once more."""


class Collect(Worked):
    """The sum of all, in one task."""

    gather = True

    def process(self, tasks: list[Number]) -> list[Number]:
        """All in one."""
        self.work(tasks)
        digest = hashlib.sha256("".join(sorted(task.made_by for task in tasks)).encode()).hexdigest()[:8]
        total, made_by = sum(task.value for task in tasks), f"{digest}/{self.nonce}"
        return [Number(id="all", parents=tuple(task.id for task in tasks), value=total, made_by=made_by)]


class Train(Worked):
    """Takes its time in steps, of which the last is kept."""

    checkpoints = True


class Shift(Worked):
    """Adds the sum of all, which another stage has made."""

    def __init__(self, total: int = 0) -> None:
        self.total = total

    def one(self, task: Number) -> Number | None:
        """See `Worked`."""
        return Number(id=task.id, value=task.value + self.total, made_by=f"{task.made_by}/{self.nonce}")


class Late(Worked):
    """Needs another stage, and reads nothing of it."""


class Left(Sift):
    """One of two branches."""


AnyStage = Worked | Right | Team | Match
STAGES: dict[str, type[AnyStage]] = {
    "double": Double, "sift": Sift, "collect": Collect, "make": Make, "copy": Copy, "train": Train,
    "shift": Shift, "late": Late, "team": Team, "left": Left, "right": Right, "match": Match,
}  # fmt: skip
STEPS = 3
MAKES_FILES = ("make", "copy")
POISON = 1000
"""Values from here on kill their stage process whenever they are in work."""
DOOM = "d"
"""First letter of tasks with which nothing can be gathered: the stage process dies of all of them together."""
HUNGRY = 500
"""Values from here on need so many times the usual memory: 2, 4 or 8 times, in turn."""
BUG = "b"
"""First letter of tasks that fail until their bug is fixed."""
KILLER = 2000
"""Values from here on have their whole job killed."""


def appetite(value: int) -> int:
    """How many times the usual memory a value needs. Pure."""
    return 2 ** (1 + value % 3) if HUNGRY <= value < POISON else 1


MOST = 4
"""So many times the usual memory, and the usual time, is the most that there is where somebody needs more."""


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


def pipeline_of(
    names: Sequence[str],
    *,
    shard_tasks: int,
    processes: int,
    variant: int = 0,
    limit_s: float = 0.0,
    budget: int = 50,
) -> Pipeline:
    """The stages in a row, but those that read another. `variant`: another parameter of the last one, for a sweep."""
    last, needs = names[-1], {"time": f"{limit_s / 60:g}m"} if limit_s else {}
    options = StageOptions(shard_tasks=shard_tasks, processes=processes, batch_size=2, attempts=3, resources=needs)
    steps = {name: Step(STAGES[name](), options) for name in names if name not in READS}
    for name, above in BEFORE.items():
        if name in steps:
            steps[name] = Step(steps[name].stage, attrs.evolve(options, after=list(above)))
    for name in (name for name in names if name in READS):
        needs_others = [WAITS_FOR[name]] if name == "late" else []
        made = Shift().with_results(total=f"{SUM.stage}.{SUM.field}") if name == "shift" else Late()
        steps[name] = Step(made, attrs.evolve(options, after=[READS[name]], needs=needs_others))
    made = build(
        "p", Numbers({}), steps, budget=Budget(failed=budget), timing=Timing(),
        epoch=lambda stage, fingerprint: variant if stage == last else 0,
    )  # fmt: skip
    return msgspec.structs.replace(made, stages=tuple(_of_several_batches(stage, shard_tasks) for stage in made.stages))


def _of_several_batches(stage: PlannedStage, shard_tasks: int) -> PlannedStage:
    """With as many tasks in a shard as are allowed: there are never so many that some have two batches otherwise.

    A sort step, which would have one shard, has several, too, and a hash range several keys.
    """
    if isinstance(stage.relation, Groups):
        slicing = msgspec.structs.replace(stage.relation.slicing, batch=shard_tasks)
        return msgspec.structs.replace(stage, relation=Groups(slicing))
    if not isinstance(stage.relation, Slices):
        return stage
    slicing = msgspec.structs.replace(stage.relation.slicing, batch=0)
    if not stage.name.startswith(SORT):
        return msgspec.structs.replace(stage, relation=Slices(slicing))
    slicing = msgspec.structs.replace(slicing, tasks=shard_tasks + 1)
    return msgspec.structs.replace(stage, relation=Slices(slicing), attempts=3)


# -- what comes out -------------------------------------------------------------------------------------


def outcome(stage: str, row: dict[str, Any]) -> str:
    """passed, dropped or failed. Pure."""
    if stage.startswith(SORT):
        return "failed" if dies_where_sorted(stage, row["value"], POISON) else "passed"
    if row["value"] >= POISON or appetite(row["value"]) > MOST:
        return "failed"
    if stage in ("sift", "left") and row["value"] % 6 == 0:
        return "dropped"
    return "dropped" if stage == "right" and row["value"] % 8 == 0 else "passed"


def may_fail(stage: str, row: dict[str, Any]) -> bool:
    """Whether it fails now, or did before its bug was fixed. Pure."""
    return outcome(stage, row) == "failed" or (row["id"].startswith(BUG) and stage != "collect")


def doomed(stage: str, rows: Sequence[dict[str, Any]]) -> bool:
    """Whether nothing comes of these rows together. Pure."""
    return stage == "collect" and any(row["id"].startswith(DOOM) for row in rows)


def made(stage: str, rows: Sequence[dict[str, Any]], nonce: str, total: int = 0) -> list[dict[str, Any]]:
    """Rows that an attempt makes of the rows of its shard; `total`: the result that it works with. Pure."""
    if stage == "collect":
        total = sum(row["value"] for row in rows if row["value"] < POISON)
        digest = hashlib.sha256("".join(sorted(row["made_by"] for row in rows)).encode()).hexdigest()[:8]
        return [row_of("all", total, f"{digest}/{nonce}", [row["id"] for row in rows])]
    if stage.startswith(SORT):
        return sorted_rows(stage, rows)
    if stage in GROUPED:
        return made_of_groups(stage, rows, nonce)
    factor, maker = 2 if stage == "double" else 1, "same" if stage in MAKES_FILES else nonce
    kept = [row for row in rows if outcome(stage, row) == "passed"]
    return [row_of(row["id"], row["value"] * factor + total, f"{row['made_by']}/{maker}") for row in kept]


def row_of(name: str, value: int, made_by: str = "", parents: Sequence[str] = ()) -> dict[str, Any]:
    """A row as it is written."""
    return {"id": name, "parents": list(parents), "weight": 1.0, "value": value, "made_by": made_by}


def encoded(rows: Sequence[dict[str, Any]]) -> bytes:
    """Lines of JSON."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def decoded(data: bytes) -> list[dict[str, Any]]:
    """The rows of some lines."""
    return [json.loads(line) for line in data.splitlines()]


def expected(values: dict[str, int], stages: Sequence[str]) -> tuple[dict[str, dict[str, int]], set[str]]:
    """(stage → id → value of what it passes on, ids of dead letters), if nothing happens. Pure."""
    source, dead = [row_of(name, value) for name, value in sorted(values.items())], set()
    out: dict[str, list[dict[str, Any]]] = {"": source}
    for before, stage in zip(("", *stages), stages, strict=False):
        above = BEFORE.get(stage, (READS.get(stage, before),))
        rows = [{**row, "of": one} if stage == MATCH else row for one in above for row in out[one]]
        if stage == TEAM:
            step = sort_step(before, TEAM)
            dead |= {row["id"] for row in rows if outcome(step, row) == "failed"}
            rows = out[step] = [row for row in rows if outcome(step, row) == "passed"]
        failing = {row["id"] for row in rows if doomed(stage, rows) or outcome(stage, row) == "failed"}
        lost = lost_with(stage, rows, failing)
        dead |= lost
        total = sum(row["value"] for row in out[SUM.stage]) if stage == "shift" else 0
        left = [row for row in rows if row["id"] not in lost] if stage in GROUPED else rows
        out[stage] = [] if doomed(stage, rows) else made(stage, left, "", total)
    out = {**{step: out[upstream] for step, upstream in sorted_by(stages).items()}, **out}
    return {stage: {row["id"]: row["value"] for row in rows} for stage, rows in out.items() if stage}, dead


# -- who does it ----------------------------------------------------------------------------------------


class SimHosts(Hosts):
    """See `Hosts`: stage processes that take their time, and die of poison."""

    threads = True
    tell = False
    bugs: Mapping[str, Collection[str]] = MappingProxyType({})
    """See `Site`."""

    def __init__(
        self,
        process: Process,
        client: Client,
        work_s: tuple[float, float],
        ahead: float,
        unlucky: set[str],
        starves: Callable[[str, float], None],
    ) -> None:
        self._process, self._files, self._work_s = (
            process,
            Files(client.open, client.size, client.append, are_real=False),
            work_s,
        )
        self._ahead, self._unlucky, self._starves = ahead, unlucky, starves
        self._client = client

    def prepare(self, plan: Plan, infos: list[WorkerInfo]) -> None:
        """See `Hosts`."""

    def staging(self, plan: Plan, submission: str, log: Log) -> Any:
        """See `Hosts`."""
        return _NoStaging()

    def host(self, plan: Plan, info: WorkerInfo, place: Place, log: Log) -> SimStage:
        """See `Hosts`."""
        stage = SimStage(self._process, self._files, plan, self._work_s, self._ahead)
        stage.client = self._client
        limits = plan.limits
        stage.share = limits.here.memory_mb / limits.ordinary.memory_mb if limits.ordinary else 1.0
        stage.unlucky, stage.starves = self._unlucky, self._starves
        stage.bugs = self.bugs.get(plan.stage.name, ())
        return stage

    def used_mb(self) -> int:
        """See `Hosts`."""
        return 0

    def give_up(self, job: ShardJob, stage: str, reason: Blame) -> ShardCounts:
        """See `Hosts`."""
        return _timeless(give_up(job, stage, reason, self._files))

    def close(self) -> None:
        """See `Hosts`."""


class _NoStaging:
    """Nothing has to be on the node."""

    def stage(self, stop: Any = None) -> Place:
        return Place(folder="/node")

    def close(self) -> None:
        """Nothing is held."""


class Gone(BaseException):
    """The stage process is gone: nothing in it can catch that."""


class SimStage:
    """A stage process, which runs shards as real ones do: see `StageHost`."""

    def __init__(self, process: Process, files: Files, plan: Plan, work_s: tuple[float, float], ahead: float) -> None:
        self._process, self._work_s, self._name = process, work_s, plan.stage.name
        self._files, self._share = files, ahead
        self._stage, self._runner = _alive(plan, files)
        self._stage.work = self._work
        self._killed = self._full = False
        self._working: Thread | None = None
        self._in_work: tuple[str, ...] = ()
        self._ask: Ahead | None = None
        """Whom to ask for the next shard, while this one is in work."""
        self._next: ShardJob | None = None
        """Being prepared."""
        self._checkpoint = ""
        self.client: Client | None = None
        self.share = 1.0
        """Of the usual memory, that its worker has."""
        self.starves: Callable[[str, float], None] = lambda task, share: None
        self.unlucky: set[str] = set()
        """See `Site`."""
        self.bugs: Collection[str] = ()
        """Tasks that fail in this stage now."""

    def start(self) -> Ready:
        """See `StageHost`."""
        return Ready(environment={})

    def run(self, job: ShardJob, ahead: Ahead | None = None) -> Done:
        """See `StageHost`. Raises ShardEnded."""
        self._checkpoint = job.checkpoint
        self._stage.nonce, self._stage.bugs = job.directory.rpartition(".")[2], self.bugs
        groups = job.groups or isinstance(self._runner, SortRunner)
        looks = self._share and not (job.isolate or job.whole or groups)
        looks = looks and self._process.kernel.random.random() < self._share
        self._see_groups(job)
        self._ask, self._next = ahead if looks else None, None
        try:
            if isinstance(self._runner, SortRunner):
                self._work([])
            done = Done(counts=_timeless(self._runner.run(job, self._report)), environment={})
            if self.client is not None and self._makes_files:
                self._read_files(job, self.client.disk)
                self._make_file(job, self.client)
        except Gone:
            if self._killed:
                raise self._ended(Ending.FREE, "its stage process was asked to leave") from None
            if self._full:
                raise self._ended(Ending.OOM, "the kernel killed it") from None
            raise self._ended(Ending.CRASH, "signal 11") from None
        except StoreFailed as error:
            raise ShardEnded(Ending.STORE, str(error)) from error
        except RAISED as error:
            raise ShardEnded(Ending.ERROR, f"{type(error).__name__}: {error}") from error
        if self._next is not None and ahead is not None:
            ahead.begin()
        return done

    def _see_groups(self, job: ShardJob) -> None:
        """A group stage hears what its groups truly are; rows are sorted once that has taken its time."""
        if isinstance(self._stage, (Team, Match)) and job.groups and self.client is not None:
            files = [(self.client.disk.find(path), low, high) for path, low, high in job.inputs]
            rows = [row for node, low, high in files if node for row in decoded(node.data)[low:high]]
            self._stage.whole = whole_groups(self._name, rows) if all(node for node, _, _ in files) else {}

    @property
    def _makes_files(self) -> bool:
        return type(self._stage) in (Make, Copy)

    def _read_files(self, job: ShardJob, disk: Disk) -> None:
        """Whoever works on what is yet to be done has the files of what it reads, up to its end."""
        target = f"{job.directory.rpartition('/')[0]}/{job.shard}"
        if disk.find(f"{target}/files") is not None:
            return  # a zombie: others have done it
        if disk.find(target) is not None and not is_lacking(disk, target):
            return
        for path, *_ in job.inputs:
            shard, stage = path.rpartition("/")[0], path.split("/")[3].rpartition("-")[0]
            if stage in MAKES_FILES and disk.find(shard) is not None and disk.find(f"{shard}/files/data") is None:
                raise Violation(f"I11: {target} is made of {shard}, whose files were freed")

    def _make_file(self, job: ShardJob, client: Client) -> None:
        try:
            client.make_folders(f"{job.directory}/files")
            client.create(f"{job.directory}/files/data", job.shard.encode())
        except OSError as error:
            raise StoreFailed(str(error)) from error

    def _ended(self, ending: Ending, detail: str) -> ShardEnded:
        """With the shard ahead, whose first tasks are being prepared."""
        mine = ShardEnded(ending, detail, self._in_work)
        if self._next is None:
            return mine
        ids: tuple[str, ...] = ()
        with contextlib.suppress(StoreFailed):
            ids = tuple(json.loads(row)["id"] for row in itertools.islice(rows_of(self._next, self._files), 2))
        return attrs.evolve(mine, shared=True, ahead=ShardEnded(ending, detail, ids, shared=True))

    def _report(self, message: InWork) -> None:
        self._in_work = message.tasks

    def _work(self, tasks: list[Number]) -> None:
        kernel, worst = self._process.kernel, max((task.value for task in tasks), default=0)
        kernel.step("work", " ".join(self._in_work))
        end, self._working = kernel.now + kernel.random.uniform(*self._work_s), kernel.running
        if self._ask is not None:
            ask, self._ask = self._ask, None
            self._next = ask.claim()
            if self._next is not None and (self._next.isolate or self._next.whole):
                raise Violation(f"I6: {self._next.shard} is prepared beside another, and a culprit is sought there")
        for step in range(STEPS, 0, -1) if self._checkpoint else (1,):
            self._wait(kernel.now + (end - kernel.now) / step)
            if self._checkpoint:
                self._train(tasks)
        if self._stage.gather:
            if any(task.id.startswith(DOOM) for task in tasks):
                raise Gone
            return
        if self._runs_out_of_memory(tasks) and kernel.random.random() < 0.5:
            raise Gone
        if worst >= KILLER or self._full:
            self._process.killed_for_memory = True
            kernel.kill(self._process)
        if worst >= POISON or self._has_an_accident(tasks):
            raise Gone

    def _wait(self, end: float) -> None:
        while self._process.kernel.now < end and not self._killed:
            self._process.kernel.suspend(end)
        if self._killed:
            raise Gone

    def _train(self, tasks: list[Number]) -> None:
        """One more step. Without the folder of its checkpoints a program fails, for whatever reason it is not there."""
        assert self.client is not None
        for task in tasks:
            path = f"{self._checkpoint}/{task.id}"
            node = self.client.disk.find(path)
            try:
                self.client.replace(path, b"%d" % (int(node.data) + 1 if node else 1))
            except FileNotFoundError:
                raise ValueError(f"there is no {path}") from None
            except OSError as error:
                raise StoreFailed(str(error)) from error

    def _runs_out_of_memory(self, tasks: list[Number]) -> bool:
        """Then it dies, or its whole job does."""
        self._full = any(appetite(task.value) > self.share for task in tasks)
        if self._full and len(tasks) == 1:
            self.starves(tasks[0].id, self.share)
        return self._full

    def _has_an_accident(self, tasks: list[Number]) -> bool:
        unlucky = {task.id for task in tasks} & self.unlucky if len(tasks) == 1 else set()
        self.unlucky -= unlucky
        return bool(unlucky)

    def at_work(self) -> AtWork | None:
        """See `StageHost`. Nobody asks."""

    def kill(self) -> None:
        """See `StageHost`."""
        self._killed = True
        if self._working is not None:
            self._process.kernel.wake(self._working)

    def close(self) -> None:
        """See `StageHost`."""


def _alive(plan: Plan, files: Files) -> tuple[AnyStage, Runner]:
    """The stage of a plan, with the results among its parameters, and what runs its shards."""
    name, made = plan.stage.name, from_spec(plan.stage.spec, secrets=True)
    if isinstance(made, SortRows):
        resolve_types(made, Note if name == sort_step("right", MATCH) else Number)
        keyed = made.grouped or Match()  # whose work is not asked for
        assert isinstance(keyed, (Team, Match))
        return keyed, SortRunner(made, name=name, files=files)
    assert isinstance(made, STAGES[name])
    return made, ShardRunner(made, name=name, files=files)


def is_lacking(disk: Disk, shard: str) -> bool:
    """Whether a committed shard is to be done again for its files."""
    stage, _, rest = shard.partition("/shards/")
    fan, _, name = rest.partition("/")
    found = disk.listed(f"{stage}/freed/{fan}")
    asked = [one for one in found if one.startswith(f"{name}.") and one.endswith(".again")]
    return any(one.removesuffix(".again") + ".back" not in found for one in asked)


def measure_nothing() -> None:
    """Of this process, from now on: a simulated machine has no /proc, and `_timeless` leaves out what is found there.

    Asking the real one would be a quarter of all that a simulation does.
    """
    none = MemoryGroup()
    instead: list[tuple[Any, str, Any]] = [
        (output, "cpu_seconds", lambda pids=None: 0.0), (output, "descendants", lambda pid: []),
        (output, "peaks_mb", lambda pids: 0.0), (attempt, "MemoryGroup", SimpleNamespace(here=lambda: none)),
    ]  # fmt: skip
    for module, name, what in instead:
        setattr(module, name, what)


def _timeless(counts: ShardCounts) -> ShardCounts:
    """Without what a real clock has measured: the same seed writes the same bytes."""
    return msgspec.structs.replace(
        counts, seconds=0.0, process_seconds=0.0, waiting_seconds=0.0, peak_memory_mb=0.0, cpu_seconds=0.0
    )
