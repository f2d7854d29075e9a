"""Cancelling a run: stop what nobody else wants, and say of what it is not known whether it has stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import msgspec

from hpcurate.runs.folder import Run
from hpcurate.runs.gate_files import GateFiles
from hpcurate.runs.launcher import Launcher, Presence, Queue, make_launcher
from hpcurate.runs.looking import RunLooker
from hpcurate.runs.metrics import publish
from hpcurate.runs.queues import queue_named
from hpcurate.runs.reconcile import Phase, RoundView
from hpcurate.runs.state import RunState
from hpcurate.runs.summary import written_report
from hpcurate.runs.waiting_jobs import WaitingJobs
from hpcurate.store.rounds import Jobs, Round
from hpcurate.store.stage_store import StageStore
from hpcurate.world import World

STOP_S = 10.0
"""How long a cancel waits to see that what it stopped has ended."""
ASK_AGAIN_S = 1.0


def cancel(run: Run, world: World | None = None, launcher: Launcher | None = None) -> list[str]:
    """Stop it. Returns what was done, for the user. `launcher`: the run's own, if it is not given.

    That it is cancelled is written down first: whoever records a job after that stops it. Then all of its jobs are
    stopped at once, by one call of their scheduler's client.
    """
    launcher = launcher or make_launcher(run.frozen().launcher)
    run.mark_cancelled()
    looker = RunLooker(run, launcher, world)
    stopping = _Stopping(launcher, world or World())
    messages = stopping.waiting(looker) + stopping.gates(looker)  # first: what these wait for is about to end
    rounds: list[tuple[str, StageStore, RoundView]] = []
    for stage, view in zip(looker.frozen.pipeline.stages, looker.observer.look(), strict=True):
        store = looker.observer.store(stage.folder)
        messages += [f"{stage.name}: {said}" for said in stopping.left_behind(store.rounds.read()[:-1], run.name)]
        last = view.rounds[-1] if view.rounds else None
        if last is None or last.phase is Phase.OVER:
            continue
        other = _wants_it_too(run, store, last, launcher)
        if other:
            messages.append(f"{stage.name}: left running, {other} wants it too")
            continue
        store.rounds.mark_cancelled(last.number, run.name)
        rounds.append((stage.name, store, stopping.with_jobs(last)))
    stopping.stop()
    for name, store, last in rounds:
        ended, said = stopping.seen(last)
        if ended:
            store.rounds.mark_over(last.number)
        messages.append(f"{name}: round {last.number} {said}")
    publish(run, looker.frozen, looker.report())
    return messages or ["nothing was queued or running"]


def _wants_it_too(run: Run, store: StageStore, last: RoundView, launcher: Launcher) -> str:
    """Another run that a round is for, by its name; or nothing."""
    wanted_by = (attrs.evolve(run, name=name) for name in store.wanted_by() if name != run.name)
    others = (
        other.name
        for other in wanted_by
        if _is_running(other, launcher.queue) or (other.name == last.run and other.is_anothers)
    )
    return next(others, "")


class _Stopping:
    """Stops jobs and workers wherever they are. What schedulers are to stop is collected first, and stopped at once."""

    def __init__(self, launcher: Launcher, world: World) -> None:
        self._launcher, self._world = launcher, world
        self._jobs: list[tuple[Queue, Jobs]] = []

    def stop(self) -> None:
        """All that was collected: a call for each scheduler."""
        for name, queue in {queue.name: queue for queue, _ in self._jobs}.items():
            ids = dict.fromkeys(id for other, jobs in self._jobs if other.name == name for id in jobs.ids)
            if ids:
                queue.cancel(Jobs(tuple(ids)))

    # -- what there is to stop ------------------------------------------------------------------------

    def waiting(self, looker: RunLooker) -> list[str]:
        """Jobs of a compiled folder that wait for the run, and would find nothing to do."""
        stages = [stage.name for stage in looker.frozen.pipeline.stages]
        left = WaitingJobs(looker.run, self._launcher).left(stages, start=True)
        self._jobs.append((self._launcher.queue, left))
        return [f"jobs of the compiled folder that waited: stopped ({left})"] if left else []

    def gates(self, looker: RunLooker) -> list[str]:
        """By their ids, which mean other jobs on another cluster: what could not be done."""
        stages = looker.frozen.pipeline.stages
        tickets = [found.ticket for stage in stages for found in looker.observer.store(stage.folder).rounds.read()]
        named = {ticket.cluster for ticket in tickets if ticket.run == looker.run.name and ticket.cluster}
        gates = Jobs(looker.gates.jobs())
        away = sorted(named - {self._launcher.queue.cluster() or ""}) if gates and named else []
        if away:
            return [f"gates of cluster {', '.join(away)} were left: type `hpcurate cancel` again where it answers"]
        self._jobs.append((self._launcher.queue, gates))
        return []

    def left_behind(self, earlier: Sequence[Round], run: str) -> list[str]:
        """Jobs of earlier rounds: a user whom another cluster answered may have gone on without their end."""
        said = []
        for found in earlier:
            if found.cancelled and not found.over and found.ticket.run == run and found.jobs and found.jobs.ids:
                queue = queue_named(found.ticket.queue or "", self._launcher.queue)
                ours = queue is not None and queue.cluster() == found.ticket.cluster
                if queue and ours and queue.presence(found.jobs.ids) is Presence.ALIVE:
                    self._jobs.append((queue, found.jobs))
                    said.append(f"round {found.number}, which was cancelled before, is being stopped ({found.jobs})")
        return said

    def with_jobs(self, last: RoundView) -> RoundView:
        """A round with all of its jobs that can be seen from here; children of a driver are stopped at once."""
        if last.queue is None:
            for worker in last.jobs.workers:  # of this machine, whichever launcher the run has now
                self._world.processes.terminate(worker)
            return last
        queue = self._queue_of(last)
        if queue is None:
            return last
        jobs = last.jobs or Jobs(queue.find(last.name) or ())
        self._jobs.append((queue, jobs))
        return msgspec.structs.replace(last, jobs=jobs)

    # -- whether it has stopped -----------------------------------------------------------------------

    def seen(self, last: RoundView) -> tuple[bool, str]:
        """Whether the workers of a round have ended, and what to tell the user."""
        if last.queue is None:
            return self._children(last)
        queue = self._queue_of(last)
        if queue is None:
            return False, f"{last.why}; {_by_hand(last.jobs, last.name)}"
        return self._scheduled(queue, last.jobs, last)

    def _queue_of(self, last: RoundView) -> Queue | None:
        return None if last.elsewhere else queue_named(last.queue or "", self._launcher.queue)

    def _scheduled(self, queue: Queue, jobs: Jobs, last: RoundView) -> tuple[bool, str]:
        if not jobs:
            why = last.why or "is being submitted"
            return False, f"{why}; whoever records a job of it stops it, {_found(last.name)}"
        self._wait(lambda: queue.presence(jobs.ids) is not Presence.ALIVE)
        presence = queue.presence(jobs.ids)
        if presence is Presence.ENDED:
            return True, f"stopped ({jobs})"
        if presence is Presence.ALIVE:
            return False, f"is being stopped ({jobs}): its workers hand back what they have"
        return False, f"may still run: the scheduler does not say that {jobs} ended; {_by_hand(jobs, last.name)}"

    def _children(self, last: RoundView) -> tuple[bool, str]:
        if self._wait(lambda: self._gone(last)):
            return True, f"stopped ({last.jobs or 'no jobs'})"
        why = last.why or f"has workers that have not left yet ({last.jobs or 'no jobs'})"
        return False, f"{why}; if its driver lives, it stops them within seconds"

    def _gone(self, last: RoundView) -> bool:
        workers = last.jobs.workers
        return bool(workers) and all(self._world.processes.alive(worker) is False for worker in workers)

    def _wait(self, until: Callable[[], bool]) -> bool:
        clock = self._world.clock
        deadline = clock.monotonic() + STOP_S
        while not until():
            if clock.monotonic() >= deadline:
                return False
            clock.sleep(ASK_AGAIN_S)
        return True


def _by_hand(jobs: Jobs, name: str) -> str:
    if not jobs:
        return f"where it answers, type `hpcurate cancel` again, or {_found(name)}"
    return f"where it answers, type `hpcurate cancel` again, or `scancel {' '.join(jobs.ids)}`"


def _found(name: str) -> str:
    return f"`scancel --name={name}` does, too"


def _is_running(other: Run, queue: Queue) -> bool:
    """Whether another run that refers to a stage is still to be served.

    Whoever looked at it last may have had a wrong answer, or another cluster's: a gate that is queued says more.
    """
    report = written_report(other)
    if report is None or report.state is not RunState.INCOMPLETE:
        return report is not None and report.state is RunState.RUNNING
    gates = GateFiles(other.filesystem, other).jobs()
    return bool(gates) and queue.presence(gates) is Presence.ALIVE
