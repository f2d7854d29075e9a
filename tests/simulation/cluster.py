"""A Slurm in memory: jobs, arrays, dependencies, requeues, and clients that are slow, wrong, or answered by another.

What the controller knows is not what is true: a node that has lost its network counts as failed while its processes
work on. What clients say is not what the controller knows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import attrs

from hpcurate.errors import LauncherError, SubmissionUnknown
from hpcurate.failures import Ending, JobEnd
from hpcurate.runs.launcher import JobRow, Presence
from hpcurate.store.rounds import Jobs
from hpcurate.system.allocation import Allocation
from tests.simulation.kernel import EPOCH, Host, Kernel, Process, Violation

KILL_WAIT_S = 30.0
"""From SIGTERM to SIGKILL."""
Body = Callable[[Process, Allocation], int]
"""What an element runs."""
REMEMBERED_S = 300.0
"""So long a controller remembers a job that has ended (MinJobAge)."""
ENDINGS = {"CANCELLED": Ending.FREE, "TIMEOUT": Ending.WALLTIME, "NODE_FAIL": Ending.FREE, "OUT_OF_MEMORY": Ending.OOM}
"""What the accounting's states say of an attempt."""
LIE_S = 20.0
"""For so long a client goes on giving wrong answers: shorter than the time between two that are believed."""


@attrs.define(frozen=True)
class Wall:
    """How long an element may run, and how long before that it is warned."""

    limit_s: float
    warning_s: float


@attrs.define(eq=False)
class Element:
    """An element of an array, or a plain job."""

    id: str
    index: int
    state: str = "PENDING"
    process: Process | None = attrs.field(default=None, repr=False)
    restarts: int = 0

    @property
    def over(self) -> bool:
        """As the controller knows."""
        return self.state not in ("PENDING", "RUNNING")


@attrs.define(eq=False)
class Job:
    """What one sbatch has queued."""

    id: str
    name: str
    body: Body = attrs.field(repr=False)
    elements: list[Element]
    after: tuple[str, ...] = ()
    store: str = ""
    """The one of its submitter, whatever its name says."""
    wall: Wall | None = None
    ended: float | None = None
    late: bool = False
    """Its submitter was taken for dead before it was queued: nobody could know of it."""

    @property
    def over(self) -> bool:
        """Whether no element will run again, as the controller knows."""
        return all(element.over for element in self.elements)


@attrs.define(kw_only=True)
class Manners:
    """How the cluster and its clients behave."""

    start_s: float = 20.0
    """A job that may start does so within this time."""
    slow_s: float = 0.5
    """A client answers within this time."""
    silent: float = 0.0
    """Share of questions that are not answered."""
    empty: float = 0.0
    """Share of questions from which on, for a while, nothing is listed."""
    unanswered: float = 0.0
    """Share of submissions whose answer is lost; half of them were taken, a moment later."""
    late_s: float = 10.0
    """They are queued so much later at most."""
    refused: float = 0.0
    """Share of submissions that are refused."""
    limit: int = 0
    """Elements that the user may have queued or running at once; 0: any number."""
    limit_s: float = 0.0
    """Wall time of workers; 0: without end."""
    kill_wait: bool = True
    """Whether who is there at the limit is told to leave before it is killed."""
    accounting: bool = True
    """Whether it knows how jobs ended that it has forgotten."""


class LimitReached(LauncherError):
    """sbatch: too many jobs are queued already."""


class Cluster:
    """The controller, and the nodes. The ids of two clusters are the same numbers."""

    def __init__(self, kernel: Kernel, name: str, nodes: list[Host], manners: Manners) -> None:
        self.kernel, self.name, self.nodes, self.manners = kernel, name, nodes, manners
        self.jobs: dict[str, Job] = {}
        self._ids = itertools.count(1000)
        self._negative: dict[tuple[Process | None, str], float] = {}
        """Who was told of what that there is nothing, and when first."""
        self.quiet = False
        self.others = 0
        """Elements of the same user that have nothing to do with hpcurate."""
        self.at_start: list[Callable[[str], None]] = []
        self.at_queuing: list[Callable[[Job], None]] = []
        self.at_sbatch: list[Callable[[Process], None]] = []

    # -- the controller -----------------------------------------------------------------------------

    def queue_up(self, name: str, body: Body, count: int | None, after: tuple[str, ...], store: str,
        wall: Wall | None = None,
    ) -> str:  # fmt: skip
        """Queue a job, or an array of `count`; its id."""
        id = str(next(self._ids))
        elements = [Element(f"{id}_{n}", n) for n in range(count)] if count and count > 1 else [Element(id, 0)]
        self.jobs[id] = Job(id, name, body, elements, after, store, wall)
        for told in self.at_queuing:
            told(self.jobs[id])
        self.kernel.note(f"! job {id} is queued", f"{name} × {len(elements)}, after {after}")
        self._start_later(self.jobs[id])
        return id

    def _start_later(self, job: Job) -> None:
        for element in job.elements:
            if element.state == "PENDING":
                self.kernel.at(
                    self.kernel.now + self._some(self.manners.start_s), lambda e=element: self._start(job, e)
                )

    def _some(self, most: float) -> float:
        return self.kernel.random.uniform(0.1, most)

    def _start(self, job: Job, element: Element) -> None:
        if element.state != "PENDING" or any(not self.jobs[one].over for one in job.after if one in self.jobs):
            return
        usable = [node for node in self.nodes if node.frozen_until <= self.kernel.now] or self.nodes
        node = self.kernel.random.choice(usable)
        array = len(job.elements) > 1
        here = Allocation(
            job_id=str(int(job.id) * 100 + element.index) if array else job.id,
            array_job_id=job.id if array else None,
            array_task_id=element.index if array else None,
            restart_count=element.restarts,
            end_time=int(EPOCH.timestamp() + self.kernel.now + job.wall.limit_s) if job.wall else None,
        )
        element.state = "RUNNING"
        for begins in self.at_start:
            begins(job.name)
        label = f"{job.name.partition('-')[0]} {element.id}" + (f" r{element.restarts}" if element.restarts else "")
        process = self.kernel.spawn(node, label, lambda process: job.body(process, here))
        element.process = process
        process.at_end.append(lambda ended: self._ended(job, element, ended))
        if job.wall:
            end = self.kernel.now + job.wall.limit_s
            self.kernel.at(end - job.wall.warning_s, lambda: self.kernel.warn(process))
            self.kernel.at(end, lambda: self._time_is_up(job, element, process))

    def _time_is_up(self, job: Job, element: Element, process: Process) -> None:
        if process.alive:
            self._leave(job, element, process, "TIMEOUT", KILL_WAIT_S if self.manners.kill_wait else 0.0)

    def _ended(self, job: Job, element: Element, process: Process) -> None:
        if element.process is process and element.state == "RUNNING":
            failed = "FAILED" if process.status or process.status is None else "COMPLETED"
            self._finish(job, element, "OUT_OF_MEMORY" if process.killed_for_memory else failed)

    def _finish(self, job: Job, element: Element, state: str) -> None:
        element.state = state
        self.kernel.note(f"! {element.id} is {state}")
        if job.over:
            job.ended = self.kernel.now
            for other in self.jobs.values():
                if job.id in other.after:
                    self._start_later(other)

    def cancel(self, id: str) -> None:
        """scancel."""
        job = self.jobs.get(id)
        for element in job.elements if job else ():
            if not element.over and job is not None:
                process, was = element.process, element.state
                if was == "PENDING":
                    self._finish(job, element, "CANCELLED")
                elif process is not None:
                    self._leave(job, element, process, "CANCELLED")

    def _leave(self, job: Job, element: Element, process: Process, state: str, wait_s: float = KILL_WAIT_S) -> None:
        """SIGTERM, and SIGKILL a while later; then it has the state."""

        def killed() -> None:
            if process.alive:
                self.kernel.kill(process)

        process.at_end.insert(0, lambda ended: self._left(job, element, process, state))
        if wait_s:
            self.kernel.terminate(process)
        self.kernel.at(self.kernel.now + wait_s, killed)

    def _left(self, job: Job, element: Element, process: Process, state: str) -> None:
        if element.process is process and element.state == "RUNNING":
            self._finish(job, element, state)
            if state == "PENDING":
                element.restarts += 1
                self._start_later(job)

    def preempt(self, element: Element, job: Job) -> None:
        """Take its node for others, and queue it again."""
        if element.state == "RUNNING" and element.process is not None:
            self._leave(job, element, element.process, "PENDING")

    def lose(self, node: Host) -> None:
        """The node no longer answers, and its processes go on: its jobs count as failed, or are queued again."""
        self.kernel.note(f"! {node.name} lost its network; its processes go on")
        for job in self.jobs.values():
            for element in job.elements:
                if element.state == "RUNNING" and element.process is not None and element.process.host is node:
                    again = self.kernel.random.random() < 0.5
                    self._finish(job, element, "PENDING" if again else "NODE_FAIL")
                    if again:
                        element.restarts += 1
                        self._start_later(job)

    def running(self) -> list[tuple[Job, Element]]:
        """Elements that run, as the controller knows."""
        return [(job, e) for job in self.jobs.values() for e in job.elements if e.state == "RUNNING"]

    def known(self, id: str) -> Job | None:
        """A job that it has not forgotten."""
        job = self.jobs.get(id)
        if job is None or (job.ended is not None and self.kernel.now - job.ended > REMEMBERED_S):
            return None
        return job

    # -- its clients --------------------------------------------------------------------------------

    def asked(self, what: str, ids: tuple[str, ...]) -> None:
        """Raises Violation where a job is another store's: it may have the same name, and the same user."""
        who = self.kernel.running.process if self.kernel.running else None
        for job in [self.jobs[id] for id in ids if id in self.jobs]:
            if who is not None and job.store != who.store:
                raise Violation(f"I8: {who.label} of {who.store}: {what} of job {job.id}, which is of {job.store}")

    def answers(self, what: str) -> bool | None:
        """Whether a question is answered truly; False for an empty answer, None for none at all."""
        kernel, manners = self.kernel, self.manners
        if self.quiet:
            return True
        chance = kernel.random.random()
        if chance < manners.silent:
            return None
        lied = self._negative.get(self._question(what))
        may_lie = lied is None or kernel.now - lied < LIE_S  # two wrong answers further apart would be believed
        return not (may_lie and chance < manners.silent + manners.empty)

    def _question(self, what: str) -> tuple[Process | None, str]:
        return (self.kernel.running.process if self.kernel.running else None, what)

    def answered(self, what: str, negative: bool) -> None:
        """Remember who was told, and when first, that there is nothing."""
        if negative:
            self._negative.setdefault(self._question(what), self.kernel.now)
        else:
            self._negative.pop(self._question(what), None)

    def room(self) -> int:
        """How many more may be queued."""
        mine = sum(not element.over for job in self.jobs.values() for element in job.elements)
        return self.manners.limit - self.others - mine

    def give_way(self, ids: tuple[str, ...]) -> bool:
        """Cancel the last element that has not begun, unless it is the only one."""
        self.kernel.step("squeue, for room")
        found = [(self.jobs[id], e) for id in ids for e in self.jobs[id].elements if not e.over]
        waiting = [(job, element) for job, element in found if element.state == "PENDING"]
        if len(found) < 2 or not waiting:
            return False
        self._finish(*waiting[-1], "CANCELLED")
        return True

    def submit(
        self, name: str, body: Body, count: int | None, after: tuple[str, ...] = (), wall: Wall | None = None
    ) -> str:
        """sbatch. Raises LauncherError, SubmissionUnknown."""
        kernel, manners = self.kernel, self.manners
        kernel.step("sbatch", name)
        store = kernel.running.process.store if kernel.running else ""
        self.asked("a gate", after)
        for told in self.at_sbatch if kernel.running else ():
            told(kernel.running.process)
        chance = 1.0 if self.quiet else kernel.random.random()
        if manners.limit and self.room() < (count or 1):
            kernel.note(f"sbatch {name}", "too many jobs")
            raise LimitReached("sbatch: error: MaxSubmitJobs")
        if chance < manners.refused:
            kernel.note(f"sbatch {name}", "refused")
            raise LauncherError("sbatch: error: refused")
        if chance < manners.refused + manners.unanswered:
            if kernel.random.random() < 0.7:
                kernel.at(
                    kernel.now + self._some(manners.late_s),
                    lambda: void(self.queue_up(name, body, count, after, store, wall)),
                )
            kernel.step("sbatch answers", name)
            kernel.note(f"sbatch {name}", "! no answer")
            raise SubmissionUnknown("sbatch does not answer")
        id = self.queue_up(name, body, count, after, store, wall)
        kernel.step("sbatch answers", name)
        kernel.note(f"sbatch {name}", id)
        return id


def void(_: object) -> None:
    """Nothing."""


class ClusterQueue:
    """squeue, sacct and scancel on one host: a `Queue`."""

    name = "slurm"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._kernel = cluster, cluster.kernel

    def _ask(self, what: str) -> bool | None:
        self._kernel.step(what)
        if self._kernel.running is not None and self._cluster.manners.slow_s:
            self._kernel.suspend(self._kernel.now + self._kernel.random.uniform(0, self._cluster.manners.slow_s))
        return self._cluster.answers(what)

    def cluster(self) -> str | None:
        """See `Queue`."""
        true = self._ask("cluster?")
        return None if true is None else self._cluster.name

    def presence(self, jobs: tuple[str, ...]) -> Presence:
        """See `Queue`."""
        self._cluster.asked("squeue", jobs)
        true = self._ask(f"squeue {jobs}")
        found = Presence.UNKNOWN if true is None else self._presence(jobs) if true else Presence.ABSENT
        if true is not None:
            self._cluster.answered(f"squeue {jobs}", found is Presence.ABSENT)
        self._kernel.note(f"squeue {jobs}", found.value if true is not False else "! absent")
        return found

    def _presence(self, ids: tuple[str, ...]) -> Presence:
        known = [self._cluster.known(id) for id in ids]
        if any(job is not None and not job.over for job in known):
            return Presence.ALIVE
        return Presence.ENDED if all(known) else Presence.ABSENT

    def endings(self, jobs: tuple[str, ...]) -> Mapping[str, JobEnd]:
        """See `Queue`."""
        self._cluster.asked("sacct", jobs)
        true = self._ask(f"sacct {jobs}")
        if not true or not self._cluster.manners.accounting:
            return {}
        elements = [e for id in jobs if id in self._cluster.jobs for e in self._cluster.jobs[id].elements]
        known = {e.id: ENDINGS[e.state] for e in elements if e.state in ENDINGS}
        again = {e.id for e in elements if e.restarts}  # whose word is of its last time
        return {id: JobEnd(ending=e) for id, e in known.items() if e is not Ending.OOM or id not in again}

    def find(self, name: str) -> tuple[str, ...] | None:
        """See `Queue`."""
        true = self._ask(f"squeue --name={name}")
        if true is None:
            return None
        remembered = (
            self._cluster.jobs if self._cluster.manners.accounting else filter(self._cluster.known, self._cluster.jobs)
        )
        found = tuple(id for id in remembered if true and self._cluster.jobs[id].name == name)
        self._cluster.answered(f"squeue --name={name}", not found)
        self._kernel.note(f"squeue --name={name}", found)
        return found

    def rows(self, jobs: Jobs) -> list[JobRow] | None:
        """See `Queue`."""
        return []

    def cancel(self, jobs: Jobs) -> None:
        """See `Queue`."""
        self._cluster.asked("scancel", jobs.ids)
        true = self._ask(f"scancel {jobs}")
        self._kernel.note(f"scancel {jobs}", "done" if true else "! nothing")
        if true:
            for id in jobs.ids:
                self._cluster.cancel(id)
