"""Where a run stands, for those who only want to know: an observer, and what a look at it says. Writes nothing."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from hpcurate.failures import Ending
from hpcurate.runs.folder import Frozen, Run
from hpcurate.runs.gate_files import GateFiles
from hpcurate.runs.launcher import JobRow, Launcher, Presence, Queue
from hpcurate.runs.live import Observer
from hpcurate.runs.reconcile import Decision, Look, Phase, reconcile
from hpcurate.runs.rounds_seen import Watched
from hpcurate.runs.state import RunState
from hpcurate.store.rounds import Jobs
from hpcurate.system.clock import Clock
from hpcurate.world import World

BEAT_S = 6.0
"""How long a look waits for a sign of a driver on another host: three times as long as that sleeps."""
ASK_S = 30.0
"""How often whoever keeps looking asks the scheduler, at most."""


class ThrottledQueue:
    """Asks a queue at most every so often, and remembers the answer meanwhile."""

    def __init__(self, queue: Queue, every_s: float, clock: Clock) -> None:
        self.name = queue.name
        self._queue, self._every, self._clock = queue, every_s, clock
        self._answers: dict[tuple[str, ...], tuple[float, Presence]] = {}

    def cluster(self) -> str | None:
        """See `Queue`."""
        return self._queue.cluster()

    def endings(self, jobs: tuple[str, ...]) -> Mapping[str, Ending]:
        """See `Queue`."""
        return self._queue.endings(jobs)

    def presence(self, jobs: tuple[str, ...]) -> Presence:
        """See `Queue`."""
        asked, answer = self._answers.get(jobs, (float("-inf"), Presence.UNKNOWN))
        now = self._clock.monotonic()
        if now - asked >= self._every:
            answer = self._queue.presence(jobs)
            self._answers[jobs] = (now, answer)
        return answer

    def find(self, name: str) -> tuple[str, ...] | None:
        """See `Queue`."""
        return self._queue.find(name)

    def rows(self, jobs: Jobs) -> list[JobRow] | None:
        """See `Queue`."""
        return self._queue.rows(jobs)

    def cancel(self, jobs: Jobs) -> None:
        """See `Queue`."""
        self._queue.cancel(jobs)


def observer_of(run: Run, frozen: Frozen, queue: Queue, world: World, watched: Watched) -> Observer:
    """Looks at what the latest call of the run has frozen."""
    return Observer(
        world,
        run.store,
        frozen.pipeline,
        frozen.source_lists,
        queue,
        forgiven=frozen.forgiven,
        watched=watched,
    )


def gate_watch(launcher: Launcher, gates: GateFiles) -> Watched:
    """Whether a gate is queued for a round. Where there are no gates, whoever drives the run watches it."""

    def watched(stage: str, number: int) -> bool:
        if launcher.gates is None:
            return True
        job = gates.job(stage, number)
        return job is not None and not launcher.queue.presence((job,)).over

    return watched


class RunLooker:
    """Looks at a run from outside. Looking again with the same one is cheap."""

    def __init__(self, run: Run, launcher: Launcher, world: World | None = None, *, ask_every_s: float = 0.0) -> None:
        self.run, self.launcher, self._world = run, launcher, world or World()
        self.frozen = run.frozen()
        self.gates = GateFiles(self._world.filesystem, run)
        queue = ThrottledQueue(launcher.queue, ask_every_s, self._world.clock)
        self.observer = observer_of(run, self.frozen, queue, self._world, gate_watch(launcher, self.gates))

    def look(self) -> Look:
        """Where it stands; incomplete where work is left and nobody is there to do it."""
        views = self.observer.look()
        seen = Look(views, reconcile(views, self.frozen.pipeline.budget, cancelled=self.run.cancelled))
        missing = any(view.missing for view in views)
        waits = seen.decision.state is RunState.RUNNING and (seen.decision.actions or missing)
        if waits and not _someone_works(seen) and not self._gate_waits() and not self._driven():
            reason = seen.decision.reason if missing else "work is left, and nothing is queued or alive"
            left = Decision((), RunState.INCOMPLETE, reason)
            return attrs.evolve(seen, decision=left)
        return seen

    def _gate_waits(self) -> bool:
        """Whether a gate of the run is queued or running: it will do what is next."""
        jobs = self.gates.jobs()
        return bool(jobs) and not self.launcher.queue.presence(jobs).over

    def _driven(self) -> bool:
        """Whether a process stays and moves it on: a living one here, or one elsewhere that writes while we look."""
        lives = self.run.driver_lives(self._world.processes)
        if lives is not None:
            return lives
        before = self.run.driver_beat()
        self._world.clock.sleep(BEAT_S)
        return self.run.driver_beat() != before


def _someone_works(seen: Look) -> bool:
    phases = (Phase.ACTIVE, Phase.UNKNOWN, Phase.SUBMITTING)
    return any(v.rounds and v.rounds[-1].phase in phases for v in seen.views if v.ready and not v.complete)
