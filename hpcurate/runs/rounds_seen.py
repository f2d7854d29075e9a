"""The rounds of a stage in the light of the queue: which of them may still have workers. Only reads."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from hpcurate.planning.pipeline import PlannedStage
from hpcurate.runs.launcher import Presence, Queue
from hpcurate.runs.reconcile import Phase, RoundView
from hpcurate.store.rounds import Jobs, Round
from hpcurate.store.stage_store import StageStore
from hpcurate.world import World

SUBMITTING_S = 60.0
"""How long a ticket whose owner cannot be seen may stay without its job before it counts as lost."""

_PHASES = {
    Presence.ALIVE: Phase.ACTIVE,
    Presence.ENDED: Phase.OVER,
    Presence.ABSENT: Phase.OVER,
    Presence.UNKNOWN: Phase.UNKNOWN,
}
Watched = Callable[[str, int], bool]
"""(stage, round) → whether a gate of the run waits for it, or its driver stays."""


class RoundsSeen:
    """The rounds of stages, in the light of the queue."""

    def __init__(self, world: World, queue: Queue, watched: Watched) -> None:
        self._clock, self._processes, self._queue, self._watched = world.clock, world.processes, queue, watched
        self._first_seen: dict[tuple[str, int], float] = {}

    def views(self, stage: PlannedStage, store: StageStore) -> tuple[RoundView, ...]:
        """All of them; only the last one can still be alive."""
        rounds = store.rounds.read()
        return tuple(_past(found) for found in rounds[:-1]) + tuple(self._last(stage, found) for found in rounds[-1:])

    def _last(self, stage: PlannedStage, found: Round) -> RoundView:
        view = _past(found)
        if found.over:
            return view
        jobs = self._lost_jobs(stage, found) if found.jobs is None else found.jobs
        if jobs is None:
            return attrs.evolve(view, phase=Phase.SUBMITTING)
        phase = _PHASES[self._presence(found, jobs)]
        return attrs.evolve(
            view,
            phase=phase,
            jobs=jobs,
            jobs_recorded=found.jobs is not None,
            over_recorded=phase is not Phase.OVER,
            watched=phase is Phase.ACTIVE and self._watched(stage.name, found.number),
        )

    def _presence(self, found: Round, jobs: Jobs) -> Presence:
        if not jobs:
            return Presence.ABSENT
        if found.ticket.queue is None:
            lives = self._processes.alive(found.ticket.submitter) if found.ticket.submitter else None
            return {True: Presence.ALIVE, False: Presence.ENDED, None: Presence.UNKNOWN}[lives]
        return self._queue.presence(jobs.ids) if found.ticket.queue == self._queue.name else Presence.UNKNOWN

    def _lost_jobs(self, stage: PlannedStage, found: Round) -> Jobs | None:
        """Jobs of a ticket without a `.job`: None while its owner may still write one, none if there are none.

        sbatch may have been answered after its caller died: the queue is searched by the unique name.
        """
        submitter = found.ticket.submitter
        owner = self._processes.alive(submitter) if submitter else None
        if owner is True or (owner is None and not self._waited_enough(stage, found.number)):
            return None
        if found.ticket.queue is None:
            return Jobs()
        ids = self._queue.find(found.ticket.name) if found.ticket.queue == self._queue.name else None
        return None if ids is None else Jobs(ids)

    def _waited_enough(self, stage: PlannedStage, number: int) -> bool:
        now = self._clock.monotonic()
        return now - self._first_seen.setdefault((stage.folder, number), now) >= SUBMITTING_S


def _past(found: Round) -> RoundView:
    return RoundView(
        number=found.number,
        phase=Phase.OVER,
        done_before=found.ticket.done_before,
        jobs=found.jobs or Jobs(),
        queue=found.ticket.queue,
        run=found.ticket.run,
        lists=found.ticket.lists,
        cancelled=found.cancelled,
    )
