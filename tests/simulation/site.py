"""A simulated site: hosts, one shared storage, one or two clusters, and launchers that run real workers there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs

from hpcurate.errors import GateRefused, HpcurateError, LauncherError
from hpcurate.fields import option
from hpcurate.planning.pipeline import Pipeline, PlannedStage
from hpcurate.planning.plan import Plan, limits_of
from hpcurate.runs.driver import Driver
from hpcurate.runs.folder import Run
from hpcurate.runs.gate import move_on, reporting
from hpcurate.runs.launcher import GateRequest, NoQueue, Started, Submission, make_launcher
from hpcurate.store.rounds import Jobs
from hpcurate.system.allocation import Allocation
from hpcurate.verdict import Allowance
from hpcurate.worker.supervisor import Supervisor
from hpcurate.world import World
from tests.simulation.cluster import Cluster, ClusterQueue, LimitReached, Manners, Wall
from tests.simulation.filesystem import Client, Disk, Faults
from tests.simulation.kernel import Host, Kernel, Process, SimClock, SimProcesses, Tempo, Violation
from tests.simulation.work import SimHosts

STORES = ("/store", "/store2")
GATE_PATIENCE_S = 900.0
HERE: list[Site] = []
"""The site that is simulated: launchers are made from a configuration that cannot name it."""


@attrs.define(eq=False)
class Site:
    """Everything there is."""

    kernel: Kernel
    disk: Disk
    clusters: dict[str, Cluster]
    work_s: tuple[float, float]
    """The least and the most that one call of a stage takes."""
    login: list[Host]
    ahead: float = 0.0
    """Share of the shards during which the next one is claimed."""
    memory: int = 1
    """So many times as much as usual is the most that a worker may have."""
    time: int = 1
    """Likewise."""
    starved: Counter[tuple[str, float]] = attrs.field(factory=Counter)
    """(task, share of the usual memory) → how often it ran out of that alone."""
    unlucky: set[str] = attrs.field(factory=set)
    """Tasks whose stage process will die once while they are in work alone."""
    bugs: dict[str, set[str]] = attrs.field(factory=dict)
    """Stage → tasks that fail there now."""
    clients: dict[str, Client] = attrs.field(factory=dict)
    listeners: list[Callable[[Process, str, str], None]] = attrs.field(factory=list)
    leaving: list[Callable[[Process, str], None]] = attrs.field(factory=list)
    """Hear of a worker of a stage that leaves by itself."""

    @classmethod
    def build(
        cls, seed: int, *, tempo: Tempo, faults: Faults, manners: Manners, nodes: int, two: bool, work_s: tuple[float, float], ahead: float,
        tracing: bool,
    ) -> Site:  # fmt: skip
        """Two login nodes and a cluster of `nodes`, or two of them on one storage, with a login node each."""
        kernel = Kernel(seed, tempo=tempo, tracing=tracing)
        names = ["sim", "other"] if two else ["sim"]
        logins = [kernel.host("login0"), kernel.host("login1", skew=3600.0, cluster=names[-1])]
        drifts = [0.9995, 1.0, 1.0005]
        clusters = {}
        for name in names:
            hosts = [kernel.host(f"{name}{n}", rate=kernel.random.choice(drifts), cluster=name) for n in range(nodes)]
            clusters[name] = Cluster(kernel, name, hosts, manners)
        disk = Disk(kernel, faults)
        for store in STORES:
            disk.make_folders(store, "root")
        site = cls(kernel, disk, clusters, work_s, logins, ahead)
        HERE[:] = [site]
        return site

    @property
    def cluster(self) -> Cluster:
        """The one that the clients of whoever asks talk to."""
        return self.clusters[self.process.host.cluster]

    @property
    def process(self) -> Process:
        """Who is asking."""
        assert self.kernel.running is not None
        return self.kernel.running.process

    def client(self, host: Host) -> Client:
        """The storage as a host has it."""
        if host.name not in self.clients:
            self.clients[host.name] = Client(self.disk, host)
        return self.clients[host.name]

    def world(self, process: Process) -> World:
        """Of one process."""
        return World(
            filesystem=self.client(process.host),
            clock=SimClock(process),
            processes=SimProcesses(process),
            nonce=lambda size: self.kernel.random.randbytes(size).hex(),
        )

    # -- programs -----------------------------------------------------------------------------------

    def work(self, process: Process, submission: str, here: Allocation, index: int) -> int:
        """`python -m hpcurate.worker <submission>`."""
        world = self.world(process)
        plan = Plan.load(submission, world.filesystem)
        process.store = plan.store
        supervisor = Supervisor(
            plan,
            submission,
            index,
            job=here.array_job_id or here.job_id or f"local{process.identity.pid}",
            hosts=self.hosts(process),
            world=world,
            log=lambda line: self.heard(process, plan.stage.folder, line),
            allocation=here,
        )
        process.on_terminate = lambda: supervisor.drain(at_once=True)
        process.on_warning = lambda: supervisor.drain(at_once=False)
        status = supervisor.run()
        self.left(process, plan.stage.folder)
        return status

    def hosts(self, process: Process) -> SimHosts:
        """Of one worker."""
        hosts = SimHosts(process, self.client(process.host), self.work_s, self.ahead, self.unlucky, self.starves)
        hosts.bugs = self.bugs
        return hosts

    def starves(self, task: str, share: float) -> None:
        """A task is alone in work, and runs out of memory: once by chance, once to be sure."""
        self.starved[task, share] += 1
        if self.starved[task, share] > 2 and self.nothing_fails:
            times = self.starved[task, share]
            raise Violation(f"I14: {task} runs out of {share:g} times the usual memory for the {times}th time")

    @property
    def nothing_fails(self) -> bool:
        """Whether all that is known can be written, read and asked for."""
        faults, manners = self.disk.faults, self.cluster.manners
        storage = (faults.errors, faults.full, faults.cuts, faults.hangs, faults.lost_rows, faults.stale_s)
        asked = (manners.silent, manners.empty, manners.unanswered, self.kernel.tempo.stops)
        return faults.links and not any((*storage, *asked))

    def left(self, process: Process, folder: str) -> None:
        """A worker leaves by itself."""
        for told in self.leaving:
            told(process, folder)

    def heard(self, process: Process, folder: str, line: str) -> None:
        """A line of a worker's log."""
        self.kernel.note(line)
        for told in self.listeners:
            told(process, folder, line)

    def gate(self, process: Process, request: GateRequest) -> int:
        """`python -m hpcurate.runs.gate …`."""
        world = self.world(process)
        process.on_terminate = leave
        try:
            run = Run.at(request.run_path, world.filesystem)
            process.store = run.store.root
            launcher = make_launcher(run.frozen().launcher)
            launcher.set_patience(GATE_PATIENCE_S)
            driver = Driver(run, launcher, echo=self.kernel.note, world=world)
            return reporting(driver, lambda: move_on(driver, request.stage, request.round, GATE_PATIENCE_S))
        except (HpcurateError, OSError) as error:
            self.kernel.note("gate ends", error)
            return 1


def leave() -> None:
    """What SIGTERM does to a gate."""
    raise SystemExit(143)


def interrupt() -> None:
    """What SIGTERM and Ctrl-C do to a call that stays."""
    raise KeyboardInterrupt


@attrs.define
class SimSlurm:
    """`launcher=slurm` on the simulated cluster: see `Launcher`."""

    workers: int = option(2, "workers of a stage at most")
    patience_s: float = 300.0
    name = "slurm"
    in_process = False
    children = None
    checks = None
    compiler = None
    services = None
    diagnosis = None
    node_local = ()
    node_quota = None
    gpu_probe = True
    same_path = True
    other_python = False
    stays = False

    @property
    def queue(self) -> ClusterQueue:
        """See `Launcher`."""
        return ClusterQueue(HERE[0].cluster)

    @property
    def gates(self) -> SimGates:
        """See `Launcher`."""
        return SimGates(self.patience_s)

    def check(self, pipeline: Pipeline, store: str) -> None:
        """See `Launcher`."""

    def most_workers(self, stage: PlannedStage) -> int:
        """See `Launcher`."""
        return self.workers

    def most(self, stage: PlannedStage) -> Allowance:
        """See `Launcher`."""
        usual, site = limits_of(stage).ordinary, HERE[0]
        return Allowance(memory_mb=site.memory * usual.memory_mb, seconds=site.time * usual.seconds)

    def nodes(self, stage: PlannedStage) -> int:
        """See `Launcher`. Nobody says."""
        return 0

    def make_room(self, plan: Plan) -> None:
        """See `Launcher`."""
        self._room_for(plan.workers)

    def _room_for(self, workers: int) -> int:
        """As many of them as may be queued beside a gate. Waits for room for one. Raises LauncherError."""
        cluster, clock = HERE[0].cluster, SimClock(HERE[0].process)
        deadline = clock.monotonic() + self.patience_s
        while cluster.manners.limit:
            cluster.kernel.step("squeue -u")
            if cluster.room() > 1:
                return min(workers, cluster.room() - 1)
            if clock.monotonic() >= deadline:
                raise LauncherError("the site lets you queue no more jobs")
            clock.sleep(5)
        return workers

    def submit(self, submission: Submission) -> Started:
        """See `Launcher`."""
        site = HERE[0]

        def body(process: Process, here: Allocation) -> int:
            return site.work(process, submission.path, here, here.array_task_id or 0)

        plan = submission.plan
        wall = Wall(plan.limits.here.seconds, plan.timing.drain_s) if site.cluster.manners.limit_s else None
        id = site.cluster.submit(submission.name, body, self._room_for(plan.workers), wall=wall)
        return Started(Jobs(ids=(id,)))

    def script(self, submission: Submission) -> str | None:
        """See `Launcher`."""
        return None

    def set_patience(self, patience_s: float, *, at_least: bool = False) -> None:
        """See `Launcher`."""
        self.patience_s = max(self.patience_s, patience_s) if at_least else patience_s

    def wait(self, seconds: float) -> None:
        """See `Launcher`."""
        SimClock(HERE[0].process).sleep(HERE[0].kernel.at_least(seconds))


@attrs.define(frozen=True)
class SimGates:
    """See `Gates`."""

    patience_s: float

    def submit(self, gate: GateRequest) -> str:
        """See `Gates`."""
        site = HERE[0]
        while True:
            try:
                return site.cluster.submit(gate.name, lambda process, _: site.gate(process, gate), None, gate.jobs)
            except LimitReached as error:
                if not site.cluster.give_way(gate.jobs):
                    raise GateRefused(str(error)) from None


class SimLocalQueue(NoQueue):
    """Workers of this machine."""

    def cancel(self, jobs: Jobs) -> None:
        """See `Queue`."""
        for worker in jobs.workers:
            SimProcesses(HERE[0].process).terminate(worker)


@attrs.define(eq=False)
class SimChildren:
    """See `Children`."""

    running: dict[str, list[Process]] = attrs.field(factory=dict)
    indexes: dict[int, int] = attrs.field(factory=dict)
    replaced: set[tuple[str, int]] = attrs.field(factory=set)

    def start(self, path: str, index: int) -> Process:
        """Start a worker beside the calling process, which it does not outlive for long."""
        site, parent = HERE[0], HERE[0].process
        worker = site.kernel.spawn(
            parent.host, f"worker{index}", lambda process: site.work(process, path, Allocation(), index), 0.5, parent
        )
        parent.children.append(worker)
        self.running.setdefault(path, []).append(worker)
        self.indexes[worker.identity.pid] = index
        return worker

    def working(self, submission: str) -> bool:
        """See `Children`."""
        for worker in [w for w in self.running.get(submission, []) if not w.alive]:
            self.running[submission].remove(worker)
            key = (submission, self.indexes[worker.identity.pid])
            if worker.status is None and key not in self.replaced:
                self.replaced.add(key)
                self.start(submission, key[1])
        return bool(self.running.get(submission))

    def stop(self) -> None:
        """See `Children`."""
        kernel = HERE[0].kernel
        workers = [worker for found in self.running.values() for worker in found]
        self.replaced |= {(path, self.indexes[w.identity.pid]) for path, found in self.running.items() for w in found}
        for worker in workers:
            kernel.terminate(worker)
        end = kernel.now + 30
        while kernel.now < end and any(worker.alive for worker in workers):
            kernel.step("waits for workers")
            kernel.suspend(kernel.now + 0.5)


@attrs.define
class SimLocal:
    """`launcher=local` on a simulated machine: see `Launcher`."""

    workers: int = option(2, "workers of a stage at most")
    name = "local"
    in_process = False
    stays = True
    queue = SimLocalQueue()
    gates = None
    checks = None
    compiler = None
    services = None
    diagnosis = None
    node_local = ()
    node_quota = None
    gpu_probe = True
    same_path = True
    other_python = False
    children: SimChildren = attrs.field(factory=SimChildren, init=False)

    def check(self, pipeline: Pipeline, store: str) -> None:
        """See `Launcher`."""

    def most_workers(self, stage: PlannedStage) -> int:
        """See `Launcher`."""
        return self.workers

    def most(self, stage: PlannedStage) -> Allowance:
        """See `Launcher`. No more than usual."""
        return limits_of(stage).ordinary

    def nodes(self, stage: PlannedStage) -> int:
        """See `Launcher`. Nobody says."""
        return 0

    def make_room(self, plan: Plan) -> None:
        """See `Launcher`."""

    def submit(self, submission: Submission) -> Started:
        """See `Launcher`."""
        started = [self.children.start(submission.path, index) for index in range(submission.plan.workers)]
        return Started(Jobs(workers=tuple(worker.identity for worker in started)))

    def script(self, submission: Submission) -> str | None:
        """See `Launcher`."""
        return None

    def set_patience(self, patience_s: float, *, at_least: bool = False) -> None:
        """See `Launcher`."""

    def wait(self, seconds: float) -> None:
        """See `Launcher`."""
        kernel = HERE[0].kernel
        kernel.step("waits")
        kernel.suspend(kernel.now + kernel.at_least(seconds))


def launcher_config(kind: str, workers: int) -> dict[str, Any]:
    """As it is frozen in a run."""
    cls = SimSlurm if kind == "slurm" else SimLocal
    return {"_target_": f"{cls.__module__}.{cls.__qualname__}", "workers": workers}
