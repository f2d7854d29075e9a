"""The driver: looks, lets `reconcile` decide, does it. Local driver, gate and repeated command are one.

`python -m hpcurate.runs.driver <run folder>` carries a run on in the background.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec

from hpcurate.errors import STORE_ERRNOS, GateRefused, LauncherError, SubmissionUnknown
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.runs.beats import BEAT_S
from hpcurate.runs.folder import Frozen, Run
from hpcurate.runs.freeing import ask_for_files, carry_out, free_files, needs_files
from hpcurate.runs.gate_files import GateFiles
from hpcurate.runs.indexing import write_index
from hpcurate.runs.launcher import GateRequest, Launcher, Presence, make_launcher
from hpcurate.runs.live import Observer
from hpcurate.runs.looking import gate_watch
from hpcurate.runs.metrics import publish
from hpcurate.runs.queues import ThrottledQueue, queue_named
from hpcurate.runs.reconcile import (
    UNDECIDED,
    Action,
    AskForFiles,
    CarryOut,
    Decision,
    FilesAction,
    FreeFiles,
    Look,
    MakeLists,
    MarkOver,
    NeedFiles,
    Phase,
    RecordJobs,
    StageView,
    Submit,
    Watch,
    WriteIndex,
    reconcile,
)
from hpcurate.runs.state import RunState
from hpcurate.runs.submitting import Submitter
from hpcurate.runs.summary import RunReport, report_of
from hpcurate.runs.work_seen import StageWork, WorkSeen
from hpcurate.store.access import keep_private
from hpcurate.store.rounds import Jobs
from hpcurate.store.stage_store import StageStore
from hpcurate.store.trouble import explain
from hpcurate.system import garbage
from hpcurate.system.beats import Beating
from hpcurate.system.clock import growing
from hpcurate.system.failpoints import failpoint
from hpcurate.system.patience import Patience
from hpcurate.units import plural
from hpcurate.world import World

POLL_S = 2.0
"""How often a waiting driver looks at the store."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
"""How long a driver that does not stay pauses before it looks again: each time twice as long."""
SETTLE_S = 420.0
"""How long such a driver waits for what a second look decides: longer than a lease and a lost submission take."""
UNANSWERED_S = 3600.0
"""How long a driver that stays waits for a scheduler that does not answer."""
WAY_OUT = (
    "type the run's command again, where that scheduler answers if it has one; "
    "or, if you know that nothing of it runs, `hpcurate cancel`, and then the command"
)
LEAVE_S = 30.0
"""How long the workers of a complete run may take to tear their stages down."""

Echo = Callable[[str], None]
ShowProgress = Callable[[Sequence[StageView], Callable[[], Mapping[str, StageWork]]], None]
"""Called after each look with the stages, and what reads what is in work in them."""


class Driver:
    """Moves one run forward."""

    def __init__(
        self,
        run: Run,
        launcher: Launcher,
        *,
        echo: Echo = lambda line: None,
        stays: bool = False,
        world: World | None = None,
    ) -> None:
        self.run, self.launcher, self.stays, self.world = run, launcher, stays, world or World()
        self.frozen: Frozen = run.frozen()
        self._pipeline, self._echo = self.frozen.pipeline, echo
        self._gates = GateFiles(self.world.filesystem, run)
        self._own_gates: set[tuple[str, int]] = set()
        """Rounds that found no room for a gate, and that this driver, which stays, watches itself."""
        ask_s = self._pipeline.timing.ask_s
        self._queue = ThrottledQueue(launcher.queue, ask_s, self.world.clock)
        self._gate_watch = gate_watch(launcher, self._queue, self._gates, self.world.clock, ask_s)
        self.observer = Observer(self.world, run.store, self.frozen, self._queue, run=run.name, watched=self._watched)
        self._work = WorkSeen(self.observer, self._pipeline, self.world.clock)
        self._submitter = Submitter(run, self.frozen, launcher, self.observer, self.world, echo)
        self._said = ""
        self._views: tuple[StageView, ...] = ()
        """As they were seen last."""

    # -- looking ------------------------------------------------------------------------------------

    def look(self) -> Look:
        """Look and decide, without doing anything."""
        self._views = views = self.observer.look()
        return Look(views, reconcile(views, self._pipeline.budget, cancelled=self.run.cancelled))

    def report(self, look: Look) -> RunReport:
        """Where the run stands, after a look at it."""
        return report_of(self.run, self.frozen, look, self.world.clock.now())

    def step(self, settle_s: float = SETTLE_S) -> Look:
        """Do everything that can be done now; the look after it.

        One that does not stay also waits, at most so long, for what a second look decides: a ticket of another, a round
        of which nothing is seen any more, a shard that is no longer listed.
        """
        deadline, pauses = self.world.clock.monotonic() + settle_s, growing(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        look = self._act()
        while not self.stays and _unsettled(look) and self.world.clock.monotonic() < deadline:
            self._say(look)
            self.world.clock.sleep(next(pauses))
            look = self._act()
        if not self.stays and (_unsettled(look) or _unanswered(look, elsewhere=True)):
            look = _left_alone(look)
        self._say(look)
        publish(self.run, self.frozen, self.report(look))
        if look.decision.state not in (RunState.RUNNING, RunState.INCOMPLETE):
            self._submitter.waiting.stop(stage.name for stage in self._pipeline.stages)
        return look

    def drive(self, progress: ShowProgress = lambda views, works: None) -> Look:
        """Step until the run has ended. Ctrl-C and SIGTERM hand the work back first."""
        me, answered = self.world.processes.mine(), self.world.clock.monotonic()
        sign = Beating(self.world.clock, lambda count: self.run.note_driver(me, count), BEAT_S)
        sign.start()
        patience = Patience(self.world.clock, leaving=lambda: False)
        try:
            while True:
                look = self._step_patiently(patience)
                progress(look.views, partial(self._work.of, look.views))
                if not _unanswered(look):
                    answered = self.world.clock.monotonic()
                silent_s = self.world.clock.monotonic() - answered
                if _unanswered(look, elsewhere=True) or silent_s >= UNANSWERED_S:
                    look = _left_alone(look)
                    publish(self.run, self.frozen, self.report(look))
                if look.decision.state is not RunState.RUNNING:
                    self._finish(look)
                    return look
                self.launcher.wait(POLL_S)
                self._submitter.close_children()
        except BaseException:
            self._stop()
            raise
        finally:
            sign.stop()

    def _step_patiently(self, patience: Patience) -> Look:
        """One failure of the store is not the end of a run whose workers wait for it, too."""
        said: int | None = None
        while True:
            try:
                look = self.step()
            except OSError as error:
                if error.errno not in STORE_ERRNOS:
                    raise
                trouble = explain(error, self.run.store.root)
                if error.errno != said:
                    self._echo(f"the store fails, and is tried again: {trouble}")
                said = error.errno
                if not patience.pause(trouble):
                    return self.stalled(str(patience))
            else:
                patience.worked()
                return look

    def stalled(self, reason: str) -> Look:
        """What was seen last, of a run that a failing store ends. It is written down if that can be done."""
        look = Look(self._views, Decision((), RunState.STALLED, reason))
        publish(self.run, self.frozen, self.report(look))
        return look

    def _say(self, look: Look) -> None:
        """Why the run does not move, once, where something is waited for that may not come."""
        waited_for = {view.phase for view in look.views}
        missing = any(view.missing for view in look.views)
        reason = look.decision.reason if missing or {Phase.VANISHED, Phase.UNKNOWN} & waited_for else ""
        if reason and reason != self._said:
            self._echo(reason)
        self._said = reason

    def _watched(self, stage: str, number: int) -> bool | None:
        return True if (stage, number) in self._own_gates else self._gate_watch(stage, number)

    def _store(self, stage: str) -> StageStore:
        return self.observer.store(self._pipeline.stage(stage).folder)

    # -- doing --------------------------------------------------------------------------------------

    def _act(self) -> Look:
        """Do what there is to do until a look finds nothing more, or until nothing comes of what it finds."""
        while True:
            look = self.look()
            if not look.decision.actions or not self._do_all(look):
                return look

    def _do_all(self, look: Look) -> bool:
        """Whether all was done. Where a round is not over after all, what follows was decided on a look of before."""
        done = True
        for action in look.decision.actions:
            if not self._do(action, look):
                done = False
                if isinstance(action, MarkOver):
                    break
        return done

    def _do(self, action: Action, look: Look) -> bool:
        """Whether it was done; False where another process did it, or is about to."""
        match action:
            case RecordJobs(stage, number, found):
                self._submitter.record(stage, number, found)
            case MarkOver(stage, number, ended):
                return self.mark_over(stage, number, ended)
            case WriteIndex(folder, fan):
                write_index(self.observer.store(folder), folder, fan, self.observer.commits)
            case MakeLists(stage):
                for name, lines in self.observer.missing_lists(self._pipeline.stage(stage)).items():
                    self._store(stage).lists.write(name, lines)
            case Submit(stage, number):
                view = next(view for view in look.views if view.name == stage)
                jobs = self._submitter.submit(action, view)
                if jobs is not None:
                    self._queue.submitted(jobs.ids)
                    self._watch(Watch(stage, number, jobs))
                return self._store(stage).rounds.is_taken(number)
            case Watch():
                self._watch(action)
            case FreeFiles() | CarryOut() | NeedFiles() | AskForFiles():
                self._do_to_files(action)
        return True

    def _do_to_files(self, action: FilesAction) -> None:
        store = self._store(action.stage)
        match action:
            case FreeFiles(stage, kept):
                self._free_files(self._pipeline.stage(stage), kept)
            case CarryOut(stage, number):
                self._echo(f"{stage}: files are freed, as was decided when no run needed them")
                carry_out(store, number)
            case NeedFiles():
                folder = self._pipeline.stage(action.stage).folder
                self.observer.files.uses[folder] = needs_files(store, self.run.name)
            case AskForFiles(stage, shards):
                again = "are needed again: they are made once more"
                self._echo(f"{stage}: freed files of {plural(len(shards), 'shard')} {again}")
                ask_for_files(store, shards)

    def _free_files(self, stage: PlannedStage, kept: tuple[str, ...]) -> None:
        lists, since = self.observer.live_lists(stage), self.frozen.uses.get(stage.folder, 0)
        freed = free_files(self._store(stage.name), self.run, since, lists, kept)
        self.observer.files.freed[stage.folder] = kept
        if freed:
            self._echo(f"{stage.name}: the files of {plural(freed, 'shard')} were freed (keep=results)")

    def mark_over(self, stage: str, number: int, jobs: Jobs | None = None) -> bool:
        """Write down that no worker of a round is left, and how its jobs ended as far as their scheduler knows.

        `jobs`: those that have ended. False where others are written down: by a submitter that stood still for so long
        that it was taken for dead.
        """
        rounds = self._store(stage).rounds
        found = rounds.one(number)
        if found.over:
            return True
        if jobs is not None and found.jobs not in (None, jobs):
            return False
        queue = queue_named(found.ticket.queue or "", self.launcher.queue)
        endings = queue.endings(found.jobs.ids) if queue and found.jobs and found.jobs.ids else {}
        rounds.mark_over(number, endings=endings)
        return True

    def _finish(self, look: Look) -> None:
        """Let workers that have nothing left leave in order; stop those of a run that failed."""
        clock = self.world.clock
        deadline = clock.monotonic() + LEAVE_S
        while self._submitter.children and look.decision.state is RunState.COMPLETE and clock.monotonic() < deadline:
            self.launcher.wait(0.2)
            self._submitter.close_children()
        if self._submitter.children:
            self._stop()

    def _stop(self) -> None:
        if self.launcher.children is not None:
            self.launcher.children.stop()
            self._submitter.close_children()

    # -- gates --------------------------------------------------------------------------------------

    def _watch(self, action: Watch) -> None:
        failpoint("gate.before_submit")
        job = self._submit_gate(action)
        if job is not None:
            self._queue.submitted((job,))
            self._gates.record(action.stage, action.round, job)
            self._submitter.waiting.hold([s.name for s in self._pipeline.stages if action.stage in s.behind], job)

    def _submit_gate(self, action: Watch) -> str | None:
        """Its job; None where this driver stays and is the gate itself. Raises GateRefused after a while.

        One whose sbatch was not answered is looked for by its name, and submitted again if it is not there: a gate too
        many does no harm, but each of them would look after the next.
        """
        if job := self._submitter.waiting.gate(action.stage, action.round, action.jobs):
            return job
        request = self._gate_request(action)
        clock, gates, pauses = self.world.clock, self.launcher.gates, growing(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        deadline = clock.monotonic() + (gates.patience_s if gates else 0.0)
        while gates is not None:
            try:
                return gates.submit(request)
            except LauncherError as error:
                if isinstance(error, SubmissionUnknown) and (job := self._queued_gate(request)):
                    return job
                if self.stays:
                    self._echo(f"{action.stage}: no gate after round {action.round}, this call replaces it: {error}")
                    self._own_gates.add((action.stage, action.round))
                    return None
                if clock.monotonic() >= deadline:
                    raise GateRefused(str(error)) from None
            self.launcher.wait(next(pauses))
        return None

    def _queued_gate(self, request: GateRequest) -> str | None:
        queue = self.launcher.queue
        found = queue.find(request.name) or ()
        return next((job for job in reversed(found) if queue.presence((job,)) is Presence.ALIVE), None)

    def _gate_request(self, action: Watch) -> GateRequest:
        return GateRequest(
            name=self.run.job_name(f"gate-{action.stage}", action.round),
            run_path=self.run.path,
            code=self.frozen.code,
            stage=action.stage,
            round=action.round,
            jobs=action.jobs.ids,
            last=action.stage == self._pipeline.stages[-1].name,
        )


def _last_phases(look: Look) -> list[Phase | None]:
    """Of the round that each stage waits for which has work left now."""
    return [view.phase for view in look.views if view.ready and not view.complete]


def _unsettled(look: Look) -> bool:
    """Whether something is open that the next looks decide: also a ticket that is neither ours nor to be seen yet."""
    running = look.decision.state is RunState.RUNNING
    undecided = any(phase in UNDECIDED for phase in _last_phases(look)) or any(view.missing for view in look.views)
    undecided = undecided or any(view.rounds[-1].watched is None for view in look.views if view.rounds)
    return running and (bool(look.decision.actions) or undecided)


def _unanswered(look: Look, *, elsewhere: bool = False) -> bool:
    """Whether all that is waited for is a scheduler that does not answer, or that cannot be asked from here at all."""
    last = [v.rounds[-1] for v in look.views if v.ready and not v.complete and v.rounds]
    silent = last and all(r.phase is Phase.UNKNOWN and (r.elsewhere or not elsewhere) for r in last)
    return bool(silent) and look.decision.state is RunState.RUNNING and not look.decision.actions


def _left_alone(look: Look) -> Look:
    """The same look, where nobody waits for the run any longer."""
    if any(phase is Phase.ACTIVE for phase in _last_phases(look)):
        return look
    reason = f"{look.decision.reason or 'another process has its ticket'}; {WAY_OUT}"
    return msgspec.structs.replace(look, decision=Decision((), RunState.INCOMPLETE, reason))


def main(argv: list[str]) -> int:
    """The background driver of `launcher=local wait=false`. Exit status as the command line's."""
    from hpcurate.runs.gate import leave_on_sigterm, reporting, run_and_world

    garbage.as_usual()
    keep_private()
    run, world = run_and_world(argv[0])
    launcher = make_launcher(run.frozen().launcher)
    driver = Driver(run, launcher, echo=lambda line: print(line, flush=True), stays=True, world=world)
    leave_on_sigterm()
    return reporting(driver, driver.drive)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
