"""Where a run stands, for those who only want to know: an observer, and what a look at it says. Writes nothing."""

from __future__ import annotations

import msgspec

from hpcurate.runs.beats import LOOK_S, Stillness
from hpcurate.runs.folder import Run
from hpcurate.runs.gate_files import GateFiles
from hpcurate.runs.launcher import Launcher, Presence, Queue
from hpcurate.runs.live import Observer
from hpcurate.runs.queues import ThrottledQueue
from hpcurate.runs.reconcile import Decision, Look, Phase, StageView, reconcile
from hpcurate.runs.rounds_seen import Watched
from hpcurate.runs.state import RunState
from hpcurate.runs.summary import RunReport, StageReport, notes_of, report_of, written_report
from hpcurate.system.clock import Clock
from hpcurate.world import World


def gate_watch(launcher: Launcher, queue: Queue, gates: GateFiles, clock: Clock, ask_s: float) -> Watched:
    """Whether a gate is queued for a round. Where there are no gates, whoever drives the run watches it.

    `queue`: the launcher's, asked as often as those who look ask about arrays.

    One answer that does not list the gate is no evidence: another gate for each would be many where a scheduler is
    overloaded.
    """
    still = Stillness(clock)

    def watched(stage: str, number: int) -> bool | None:
        if launcher.gates is None:
            return True
        job = gates.job(stage, number)
        if job is None:
            return False
        asked, presence = clock.monotonic(), queue.presence((job,))
        if presence is Presence.ABSENT:
            return False if still.of(job, b"", asked) >= ask_s else None
        still.forget(job)
        return presence is not Presence.ENDED

    return watched


class RunLooker:
    """Looks at a run from outside. Looking again with the same one is cheap."""

    def __init__(self, run: Run, launcher: Launcher, world: World | None = None, *, ask_every_s: float = 0.0) -> None:
        self.run, self.launcher, self._world = run, launcher, world or World()
        self.frozen, self._once = run.frozen(), not ask_every_s
        self.gates = GateFiles(self._world.filesystem, run)
        self._queue = queue = ThrottledQueue(launcher.queue, ask_every_s, self._world.clock)
        watched = gate_watch(launcher, queue, self.gates, self._world.clock, self.frozen.pipeline.timing.ask_s)
        self.observer = Observer(self._world, run.store, self.frozen, queue, run=run.name, watched=watched)

    def look(self) -> Look:
        """Where it stands; incomplete where work is left and nobody is there to do it.

        A round of which nothing is seen waits for a second look. Who looks only once takes none; the command does.
        """
        views = self._views()
        seen = Look(views, reconcile(views, self.frozen.pipeline.budget, cancelled=self.run.cancelled))
        open_end = any(view.missing for view in views) or (self._once and Phase.VANISHED in _last_phases(seen))
        waits = seen.decision.state is RunState.RUNNING and (seen.decision.actions or open_end)
        if waits and not self._someone_works(seen) and not self._gate_waits() and not self._driven():
            left = Decision((), RunState.INCOMPLETE, seen.decision.reason)
            return msgspec.structs.replace(seen, decision=left if open_end else self._left(seen))
        return seen

    def report(self) -> RunReport:
        """Look, and say where it stands."""
        return self.report_of(self.look())

    def report_of(self, seen: Look) -> RunReport:
        """Where it stands, after that look."""
        return report_of(self.run, self.frozen, seen, self._world.clock.now())

    def _left(self, seen: Look) -> Decision:
        """What the gate or call that left the run wrote down, as long as nothing has moved since."""
        before = written_report(self.run)
        now = {v.name: StageReport.of(v.counts, notes_of(v)).committed for v in seen.views}
        left = (RunState.INCOMPLETE, RunState.STALLED)
        if before is not None and before.state in left and before.committed == now and before.reason:
            return Decision((), before.state, before.reason)
        return Decision((), RunState.INCOMPLETE, "work is left, and nothing is queued or alive")

    def _views(self) -> tuple[StageView, ...]:
        """What there is; where workers of another host are the question, after a moment in which their driver beats."""
        views = self.observer.look()
        if any(r.phase is Phase.VANISHED and r.queue is None for view in views for r in view.rounds):
            self._world.clock.sleep(LOOK_S)
            views = self.observer.look()
        return views

    def _someone_works(self, seen: Look) -> bool:
        idle = (Phase.OVER, Phase.VANISHED) if self._once else (Phase.OVER,)
        return any(phase not in idle for phase in _last_phases(seen))

    def _gate_waits(self) -> bool:
        """Whether a gate of the run is queued or running: it will do what is next."""
        jobs = self.gates.jobs()
        return bool(jobs) and not self._queue.presence(jobs).over

    def _driven(self) -> bool:
        """Whether a process stays and moves it on: a living one here, or one elsewhere that writes while we look."""
        lives = self.run.driver_lives(self._world.processes)
        if lives is not None:
            return lives
        before = self.run.driver_beat()
        self._world.clock.sleep(LOOK_S)
        return self.run.driver_beat() != before


def _last_phases(seen: Look) -> list[Phase]:
    return [view.phase for view in seen.views if view.phase and view.ready and not view.complete]
