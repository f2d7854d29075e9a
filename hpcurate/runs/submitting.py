"""Submitting one round: room, ticket, plan, jobs, and the way back from each place where that can end.

Who has the ticket of a round shows a sign of life beside it until its jobs are written down, or, where the workers are
children of this process, until the last of them has left. So an observer neither waits for ever nor takes a slow
submitter for a dead one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import msgspec

from hpcurate.errors import HpcurateError, LauncherError, SubmissionUnknown
from hpcurate.planning.job_time import Load, with_time
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.planning.plan import Plan, having, limits_of, submission_name, worker_count
from hpcurate.planning.results import digest_of
from hpcurate.results import Result
from hpcurate.runs.beats import BEAT_S
from hpcurate.runs.folder import Frozen, Run
from hpcurate.runs.launcher import JobRow, Launcher, Started, Submission
from hpcurate.runs.live import Observer
from hpcurate.runs.queues import queue_named
from hpcurate.runs.reconcile import StageView, Submit
from hpcurate.runs.results_seen import with_results
from hpcurate.runs.waiting_jobs import WaitingJobs
from hpcurate.store.rounds import Jobs, Rounds, Ticket
from hpcurate.system.beats import Beating
from hpcurate.system.clock import growing
from hpcurate.system.failpoints import failpoint
from hpcurate.units import plural
from hpcurate.verdict import Allowance
from hpcurate.world import World

NAMED_S = 60.0
"""How long a submitter asks for the name of its cluster."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
"""Between two such questions; each pause is twice as long as the one before."""
Echo = Callable[[str], None]


class Submitter:
    """Takes tickets for one run, and knows the rounds whose workers are children of this process."""

    def __init__(
        self, run: Run, frozen: Frozen, launcher: Launcher, observer: Observer, world: World, echo: Echo
    ) -> None:
        self._run, self._frozen, self._launcher, self._observer = run, frozen, launcher, observer
        self._world, self._echo = world, echo
        self.waiting = WaitingJobs(run, launcher)
        self._signs: dict[tuple[str, int], Beating] = {}
        self.children: dict[tuple[str, int], str] = {}
        """Rounds whose workers are children of this process, and their submissions' folders."""

    def submit(self, action: Submit, view: StageView) -> Jobs | None:
        """The round's jobs, for which somebody has to wait; None if there are none, or none that are known.

        Raises LauncherError where they were refused: then the round is over; OSError while the store takes nothing.
        """
        stage, key = self._frozen.pipeline.stage(action.stage), (action.stage, action.round)
        if not self._observer.still_listed(stage):
            return None
        lists, job = self._observer.live_lists(stage), self.waiting.array(action)
        load = Load() if job else self._observer.load(stage)  # one that waits asks for what nobody knew more of
        plan = plan_round(stage, self._run, lists, action, self._launcher, self._frozen, load, view.results)
        if job:
            plan = msgspec.structs.replace(plan, workers=min(plan.workers, job.count))
        else:
            self._launcher.make_room(plan)
        self._observer.store(stage.folder).commits.test_write(self._run.path)  # a ticket without a plan is a lost round
        name = job.name if job else self._run.job_name(stage.folder, action.round)
        ticket = self._ticket(action, view, plan.limits.here, name)
        if self._run.cancelled or not self._rounds(key).take_ticket(action.round, ticket):
            return None
        try:
            self._signs[key] = Beating(
                self._world.clock, lambda count: self._rounds(key).beat(action.round, count), BEAT_S
            )
            self._signs[key].start()
            submission = self._write(plan, key)
            self._echo(f"{stage.name}: {_in_words(action, plan)}{f', by job {job.id}, which waits' if job else ''}")
        except BaseException:
            self._end(key)
            raise
        started = self._start(submission, key, job)
        return None if started is None else self._record(started, key)

    def record(self, stage: str, number: int, jobs: Jobs) -> bool:
        """Write down the jobs of a round, whoever submitted them; False if they were stopped: nobody wants them now.

        Others may have taken the submission for lost and written first: what they do not know of would never be seen.
        """
        rounds = self._rounds((stage, number))
        rounds.record_jobs(number, jobs)
        found = rounds.one(number)
        recorded = found.jobs.ids if found.jobs else ()
        cancelled = self._run.cancelled or found.cancelled
        stopped = Jobs(tuple(id for id in jobs.ids if cancelled or found.over or id not in recorded))
        if not stopped:
            return True
        self._stop(found.ticket, stopped)
        if cancelled:
            rounds.mark_cancelled(number, self._run.name)
        what = "was cancelled" if cancelled else "was taken for lost"
        self._echo(f"{stage}: round {number} {what} while it was submitted; jobs {stopped} were stopped")
        return stopped.ids != jobs.ids

    def _stop(self, ticket: Ticket, jobs: Jobs) -> None:
        queue = queue_named(ticket.queue or "", self._launcher.queue)
        if queue is not None:
            queue.cancel(jobs)

    def close_children(self) -> None:
        """A round of our own workers is over when the last of them has left."""
        for key, path in list(self.children.items()):
            if self._launcher.children is not None and not self._launcher.children.working(path):
                self._end(key)

    # -- the steps ----------------------------------------------------------------------------------

    def _rounds(self, key: tuple[str, int]) -> Rounds:
        return self._observer.store(self._frozen.pipeline.stage(key[0]).folder).rounds

    def _ticket(self, action: Submit, view: StageView, has: Allowance, name: str) -> Ticket:
        queue = self._launcher.queue
        return Ticket(
            run=self._run.name,
            launcher=self._launcher.name,
            queue=queue.name or None,
            cluster=self._cluster(),
            name=name,
            submitter=self._world.processes.mine(),
            lists=view.lists,
            done_before=view.counts.shards_done,
            told_before=view.left.told,
            memory_mb=has.memory_mb,
            seconds=has.seconds,
            exclude=action.exclude,
            special=action.group.why,
        )

    def _cluster(self) -> str:
        """The cluster that will have the jobs: about a ticket without it, anybody's answer would count.

        Raises LauncherError.
        """
        queue, clock, pauses = self._launcher.queue, self._world.clock, growing(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        deadline = clock.monotonic() + NAMED_S
        while queue.name:
            found = queue.cluster()
            if found is not None:
                return found
            if clock.monotonic() >= deadline:
                raise LauncherError(
                    f"{queue.name} does not say which cluster it is; type the command again when it answers"
                )
            self._launcher.wait(next(pauses))
        return ""

    def _write(self, plan: Plan, key: tuple[str, int]) -> Submission:
        """Write the immutable plan before anything is submitted (I3)."""
        path = os.path.join(self._run.path, "submissions", submission_name(*key))
        self._run.filesystem.make_folders(os.path.join(path, "logs"), mode=0o700)
        plan.save(path, self._run.filesystem)
        return Submission(plan=plan, path=path, name=self._rounds(key).one(key[1]).ticket.name)

    def _start(self, submission: Submission, key: tuple[str, int], job: JobRow | None) -> Started | None:
        """Have the workers started; None where only the scheduler knows whether they were."""
        if self._launcher.children is not None:
            self.children[key] = submission.path
        try:
            failpoint("submit.before")
            if job:
                started = self.waiting.take(job, *key, submission.plan.workers)
            else:
                started = self._launcher.submit(submission)
            failpoint("submit.after")
            return started
        except SubmissionUnknown as error:
            self._let_go(key)
            self._echo(f"{key[0]}: round {key[1]}: {error}; it is looked for by its name {submission.name}")
            return None
        except HpcurateError:  # a refusal: nothing was submitted
            self._end(key)
            raise
        except BaseException:
            self._leave(submission, key)
            raise

    def _leave(self, submission: Submission, key: tuple[str, int]) -> None:
        """We are being stopped, or something broke, while the workers were submitted: what there is by now?"""
        if self._launcher.children is not None:  # whoever stops us stops them, and closes the round
            return
        if not self._launcher.queue.name:
            self._end(key)
            return
        with suppress(Exception):  # the way out has its own error
            ids = self._launcher.queue.find(submission.name)
            if ids:
                self.record(*key, Jobs(ids))
        self._let_go(key)

    def _record(self, started: Started, key: tuple[str, int]) -> Jobs | None:
        try:
            wanted = self.record(*key, started.jobs)
        except BaseException:  # nobody would find them by their ids
            self._launcher.queue.cancel(started.jobs)
            self._let_go(key)
            raise
        if started.over:
            self._end(key)
        elif self._launcher.children is None:
            self._quiet(key)
            return started.jobs if wanted else None
        return None

    def _end(self, key: tuple[str, int]) -> None:
        """No worker of it is left. Where that cannot be written, our silence says it a while later."""
        with suppress(OSError):
            self._rounds(key).mark_over(key[1])
        self._quiet(key)
        self.children.pop(key, None)

    def _let_go(self, key: tuple[str, int]) -> None:
        """Leave the round to whoever looks next, who need not wait for a sign of ours."""
        self._quiet(key)
        with suppress(OSError):
            self._rounds(key).let_go(key[1])

    def _quiet(self, key: tuple[str, int]) -> None:
        sign = self._signs.pop(key, None)
        if sign is not None:
            sign.stop()


def _in_words(action: Submit, plan: Plan) -> str:
    """`round 2, 3 shards, 1 worker`; or which, and why it is special."""
    group = action.group
    words = f"round {action.round}, {group.why or plural(group.shards, 'shard')}, {plural(plan.workers, 'worker')}"
    return f"{words}, without {', '.join(action.exclude)}" if action.exclude else words


def plan_round(
    stage: PlannedStage,
    run: Run,
    lists: tuple[str, ...],
    action: Submit,
    launcher: Launcher,
    frozen: Frozen,
    load: Load = Load(),  # noqa: B008 - frozen
    results: Mapping[Result, Any] = MappingProxyType({}),
) -> Plan:
    """What the workers of one round are given: exactly as many as are needed. `results`: what its lists are for."""
    most = frozen.most.get(stage.name)
    workers = worker_count(action.group.shards, stage.processes, stage.workers, launcher.most_workers(stage))
    stage = with_time(stage, load, workers, most.seconds if most else 0.0, action.group.least_s)
    limits = limits_of(stage, most, action.group.has)
    stage = having(stage, limits.here) if action.group.has else stage
    return Plan(
        stage=with_results(stage, results, run.store.stages),
        results=digest_of(results),
        limits=limits,
        exclude=action.exclude,
        run=run.name,
        store=run.store.root,
        lists=lists,
        round=action.round,
        workers=workers,
        shards=action.group.shards,
        seconds_per_weight=load.seconds_per_weight,
        code=frozen.code,
        versions={} if stage.env.python or launcher.other_python else frozen.versions,
        node_local=launcher.node_local,
        node_quota=launcher.node_quota,
        gpu_probe=launcher.gpu_probe,
        timing=frozen.pipeline.timing,
        durability=frozen.pipeline.durability,
    )
