"""The driver: looks, lets `reconcile` decide, does it. Local driver, gate and repeated command are one.

`python -m hpcurate.runs.driver <run folder>` carries a run on in the background.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from hpcurate.errors import GateRefused, HpcurateError
from hpcurate.planning.pipeline import PlannedStage, Timing
from hpcurate.planning.plan import Plan, job_name, submission_name, worker_count
from hpcurate.runs.folder import Frozen, Run
from hpcurate.runs.gate_files import GateFiles
from hpcurate.runs.indexing import write_index
from hpcurate.runs.launcher import GateRequest, Launcher, Submission, make_launcher
from hpcurate.runs.looking import ASK_S, ThrottledQueue, gate_watch, observer_of
from hpcurate.runs.reconcile import (
    Action,
    Look,
    MakeLists,
    MarkOver,
    Phase,
    RecordJobs,
    StageView,
    Submit,
    Watch,
    WriteIndex,
    reconcile,
)
from hpcurate.runs.state import RunState
from hpcurate.runs.summary import report_of, write_report
from hpcurate.store.rounds import Ticket
from hpcurate.store.stage_store import StageStore
from hpcurate.system.failpoints import failpoint
from hpcurate.world import World

POLL_S = 2.0
"""How often a waiting driver looks at the store."""
LEAVE_S = 30.0
"""How long the workers of a complete run may take to tear their stages down."""

Echo = Callable[[str], None]


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
        self._gate_watch = gate_watch(launcher, self._gates)
        self._mine: dict[tuple[str, int], str] = {}
        """Rounds whose workers are children of this process, and their submissions' folders."""
        self._waits = False
        self._own_gates: set[tuple[str, int]] = set()
        """Rounds that found no room for a gate, and that this driver, which stays, watches itself."""
        queue = ThrottledQueue(launcher.queue, ASK_S if stays else 0.0, self.world.clock)
        self.observer = observer_of(run, self.frozen, queue, self.world, self._watched)

    # -- looking ------------------------------------------------------------------------------------

    def look(self) -> Look:
        """Look and decide, without doing anything."""
        views = self.observer.look()
        return Look(views, reconcile(views, self._pipeline.budget, cancelled=self.run.cancelled))

    def step(self) -> Look:
        """Do everything that can be done now; the look after it."""
        while True:
            look = self.look()
            if not look.decision.actions:
                if _is_submitting(look.views):  # another's ticket, whose job is written within moments
                    self.world.clock.sleep(0.1)
                    continue
                if not self.stays and any(view.missing for view in look.views):
                    self._wait_for_second_listing(look)
                    continue
                write_report(self.run, report_of(self.run, self.frozen, look))
                return look
            for action in look.decision.actions:
                self._do(action, look)

    def _wait_for_second_listing(self, look: Look) -> None:
        if not self._waits:
            self._echo(look.decision.reason)
        self._waits = True
        self.world.clock.sleep(POLL_S)

    def drive(self, progress: Callable[[tuple[StageView, ...]], None] = lambda views: None) -> Look:
        """Step until the run has ended. Ctrl-C and SIGTERM hand the work back first."""
        me, beat = self.world.processes.mine(), 0
        try:
            while True:
                self.run.note_driver(me, beat)
                beat += 1
                look = self.step()
                progress(look.views)
                if look.decision.state is not RunState.RUNNING:
                    self._finish(look)
                    return look
                self.launcher.wait(POLL_S)
                self._close_own_rounds()
        except BaseException:
            self._stop()
            raise

    def _watched(self, stage: str, number: int) -> bool:
        return (stage, number) in self._own_gates or self._gate_watch(stage, number)

    def _store(self, stage: str) -> StageStore:
        return self.observer.store(self._pipeline.stage(stage).folder)

    # -- doing --------------------------------------------------------------------------------------

    def _do(self, action: Action, look: Look) -> None:
        match action:
            case RecordJobs(stage, number, jobs):
                self._store(stage).rounds.record_jobs(number, jobs)
            case MarkOver(stage, number):
                self._store(stage).rounds.mark_over(number)
            case WriteIndex(folder, fan):
                write_index(self.observer.store(folder), folder, fan, self.observer.commits)
            case MakeLists(stage):
                for name, lines in self.observer.missing_lists(self._pipeline.stage(stage)).items():
                    self._store(stage).lists.write(name, lines)
            case Submit():
                self._submit(action, look)
            case Watch():
                self._watch(action)

    def _submit(self, action: Submit, look: Look) -> None:
        stage, store = self._pipeline.stage(action.stage), self._store(action.stage)
        name = job_name(stage.folder, action.round, self.run.name, os.path.realpath(self.run.store.root))
        if not store.rounds.take_ticket(action.round, self._ticket(name, action, look)):
            return
        submission = self._prepare(stage, action, name)
        workers = submission.plan.workers
        self._echo(f"{stage.name}: round {action.round}, {action.open_shards} shards, {workers} workers")
        failpoint("submit.before")
        try:
            started = self.launcher.submit(submission)
        except (HpcurateError, OSError):
            store.rounds.mark_over(action.round)
            raise
        failpoint("submit.after")
        store.rounds.record_jobs(action.round, started.jobs)
        if started.over:
            store.rounds.mark_over(action.round)
        elif self.launcher.children is not None:
            self._mine[stage.name, action.round] = submission.path
        else:
            self._watch(Watch(stage.name, action.round, started.jobs))

    def _ticket(self, name: str, action: Submit, look: Look) -> Ticket:
        view = next(view for view in look.views if view.name == action.stage)
        return Ticket(
            run=self.run.name,
            launcher=self.launcher.name,
            queue=self.launcher.queue.name or None,
            name=name,
            submitter=self.world.processes.mine(),
            lists=view.lists,
            done_before=view.counts.shards_done,
        )

    def _prepare(self, stage: PlannedStage, action: Submit, name: str) -> Submission:
        """Write the immutable plan before anything is submitted."""
        plan = plan_round(
            stage,
            run=self.run,
            lists=self.observer.live_lists(stage),
            action=action,
            launcher=self.launcher,
            frozen=self.frozen,
        )
        path = os.path.join(self.run.path, "submissions", submission_name(stage.name, action.round))
        os.makedirs(os.path.join(path, "logs"), mode=0o700, exist_ok=True)
        plan.save(path)
        return Submission(plan=plan, path=path, name=name)

    def _close_own_rounds(self) -> None:
        """A round of our own workers is over when the last of them has left."""
        for (stage, number), path in list(self._mine.items()):
            if self.launcher.children is not None and not self.launcher.children.working(path):
                self._store(stage).rounds.mark_over(number)
                del self._mine[stage, number]

    def _finish(self, look: Look) -> None:
        """Let workers that have nothing left leave in order; stop those of a run that failed."""
        clock = self.world.clock
        deadline = clock.monotonic() + LEAVE_S
        while self._mine and look.decision.state is RunState.COMPLETE and clock.monotonic() < deadline:
            self.launcher.wait(0.2)
            self._close_own_rounds()
        if self._mine:
            self._stop()

    def _stop(self) -> None:
        if self.launcher.children is not None:
            self.launcher.children.stop()
            self._close_own_rounds()

    # -- gates --------------------------------------------------------------------------------------

    def _watch(self, action: Watch) -> None:
        failpoint("gate.before_submit")
        job = self._submit_gate(action)
        if job is not None:
            self._gates.record(action.stage, action.round, job)

    def _submit_gate(self, action: Watch) -> str | None:
        """Its job; None where this driver stays and is the gate itself. Raises GateRefused after a while."""
        clock = self.world.clock
        gates = self.launcher.gates
        deadline = clock.monotonic() + (gates.patience_s if gates else 0.0)
        while gates is not None:
            try:
                return gates.submit(self._gate_request(action))
            except GateRefused as error:
                if self.stays:
                    self._echo(f"{action.stage}: no gate after round {action.round}, this call replaces it: {error}")
                    self._own_gates.add((action.stage, action.round))
                    return None
                if clock.monotonic() >= deadline:
                    raise
            self.launcher.wait(POLL_S)
        return None

    def _gate_request(self, action: Watch) -> GateRequest:
        return GateRequest(
            run_path=self.run.path,
            code=self.frozen.code,
            stage=action.stage,
            round=action.round,
            jobs=action.jobs.ids,
            last=action.stage == self._pipeline.stages[-1].name,
        )


def plan_round(
    stage: PlannedStage, *, run: Run, lists: tuple[str, ...], action: Submit, launcher: Launcher, frozen: Frozen
) -> Plan:
    """What the workers of one round are given: exactly as many as are needed."""
    timing: Timing = frozen.pipeline.timing
    return Plan(
        stage=stage,
        run=run.name,
        store=run.store.root,
        lists=lists,
        round=action.round,
        workers=worker_count(action.open_shards, stage.processes, stage.workers, launcher.most_workers(stage)),
        code=frozen.code,
        versions={} if stage.env.python or launcher.other_python else frozen.versions,
        node_local=launcher.node_local,
        node_quota=launcher.node_quota,
        timing=timing,
    )


def _is_submitting(views: tuple[StageView, ...]) -> bool:
    return any(v.rounds and v.rounds[-1].phase is Phase.SUBMITTING and v.ready and not v.complete for v in views)


def main(argv: list[str]) -> int:
    """The background driver of `launcher=local wait=false`. Exit status as the command line's."""
    from hpcurate.runs.gate import reporting

    run = Run.at(argv[0])
    launcher = make_launcher(run.frozen().launcher)
    driver = Driver(run, launcher, echo=lambda line: print(line, flush=True), stays=True)
    return reporting(driver, driver.drive)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
