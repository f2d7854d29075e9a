"""The driver: looks, lets `reconcile` decide, does it. Local driver, gate and repeated command are one.

`python -m hpcurate.runs.driver <run folder>` continues a run in the background; with `--gate STAGE N` it is the
gate after round N: it looks once, submits what is next, and exits.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import attrs

from hpcurate.errors import GateRefused, HpcurateError, LauncherError
from hpcurate.planning.fingerprint import digest
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.planning.plan import Plan, Timing, submission_name, worker_count
from hpcurate.runs.folder import Frozen, Run
from hpcurate.runs.launcher import Launcher, Submission, make_launcher
from hpcurate.runs.live import Observer
from hpcurate.runs.reconcile import Decision, MakeLists, Phase, StageView, Submit, Watch, reconcile
from hpcurate.runs.summary import RunState
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.layout import Store
from hpcurate.store.rounds import mark_over, record_job, take_ticket
from hpcurate.system.failpoints import failpoint
from hpcurate.system.processes import ProcessIdentity

POLL_S = 2.0
"""How often a waiting driver looks at the store."""
BEAT_S = 3 * POLL_S
"""How long a verb waits for a sign of a driver on another host."""
ASK_S = 30.0
"""How often a waiting driver asks the scheduler, at most."""
LEAVE_S = 30.0
"""How long the workers of a complete run may take to tear their stages down."""

Echo = Callable[[str], None]


@attrs.define(frozen=True)
class Look:
    """One look at a run."""

    views: list[StageView]
    decision: Decision


class Driver:
    """Moves one run forward."""

    def __init__(self, run: Run, launcher: Launcher, *, echo: Echo = lambda line: None, stays: bool = False) -> None:
        self.run, self.launcher, self.stays = run, launcher, stays
        self._frozen: Frozen = run.frozen()
        self._pipeline = self._frozen.pipeline
        self._filesystem = PosixFilesystem()
        self._echo = echo
        self._mine: dict[tuple[str, int], str] = {}
        self._own_gates: set[tuple[str, int]] = set()
        """Rounds that found no room for a gate, and that this driver, which stays, watches itself."""
        self.observer = Observer(
            self._filesystem,
            run.store,
            self._pipeline,
            self._frozen.source_lists,
            ThrottledQueue(launcher, ASK_S if stays else 0.0),
            forgiven=self._frozen.forgiven,
            watched=self._is_watched,
        )

    # -- looking ------------------------------------------------------------------------------------

    def look(self) -> Look:
        """Look at the store and decide, without doing anything."""
        views = self.observer.look()
        return Look(views, reconcile(views, self._pipeline.budget, cancelled=self.run.cancelled))

    def step(self) -> Look:
        """Do everything that can be done now; the look after it."""
        while True:
            look = self.look()
            if not look.decision.actions:
                if self._is_submitting(look.views):  # another's ticket, whose job is written within moments
                    time.sleep(0.1)
                    continue
                self.summarise(look)
                return look
            for action in look.decision.actions:
                if isinstance(action, MakeLists):
                    self.observer.make_lists(self._pipeline.stage(action.stage))
                elif isinstance(action, Submit):
                    self._submit(action)
                else:
                    self._watch(action)

    def drive(self, progress: Callable[[list[StageView]], None] = lambda views: None) -> Look:
        """Step until the run has ended. Ctrl-C and SIGTERM hand the work back first."""
        me, beat = ProcessIdentity.mine(), 0
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

    def _is_submitting(self, views: list[StageView]) -> bool:
        return any(v.rounds and v.rounds[-1].phase is Phase.SUBMITTING and v.ready and not v.complete for v in views)

    # -- submitting ---------------------------------------------------------------------------------

    def _submit(self, action: Submit) -> None:
        stage = self._pipeline.stage(action.stage)
        folder = self.observer.folder(stage)
        done = self._done(stage)
        name = f"{stage.folder}-r{action.round}"
        ours = take_ticket(
            self._filesystem, folder, action.round, run=self.run.name, launcher=self.launcher.kind, name=name, done=done
        )
        if not ours:
            return
        submission = self._prepare(stage, action, name)
        workers = submission.plan.workers
        self._echo(f"{stage.name}: round {action.round}, {action.open_shards} shards, {workers} workers")
        failpoint("submit.before")
        try:
            jobs = self.launcher.submit(submission)
        except (HpcurateError, OSError):
            mark_over(self._filesystem, folder, action.round)
            raise
        failpoint("submit.after")
        record_job(self._filesystem, folder, action.round, jobs)
        if self.launcher.kind == "inline":
            mark_over(self._filesystem, folder, action.round)
        elif self.launcher.kind == "local":
            self._mine[stage.name, action.round] = submission.path
        elif self.launcher.kind == "slurm":
            self._watch(Watch(stage.name, action.round, jobs))

    def _done(self, stage: PlannedStage) -> int:
        view = next(v for v in self.observer.look() if v.name == stage.name)
        return view.counts.shards_done

    def _prepare(self, stage: PlannedStage, action: Submit, name: str) -> Submission:
        """Write the immutable plan before anything is submitted."""
        plan = plan_round(
            stage,
            run=self.run,
            lists=self.observer.live_lists(stage),
            round_number=action.round,
            open_shards=action.open_shards,
            most_workers=self.launcher.most_workers(stage),
            code=self._frozen.code,
            timing=self._pipeline.timing,
        )
        plan = attrs.evolve(
            plan,
            node_local=self.launcher.node_local,
            node_quota=self.launcher.node_quota,
            versions={} if stage.env.python or self.launcher.other_python else self._frozen.versions,
        )
        path = os.path.join(self.run.path, "submissions", submission_name(stage.name, action.round))
        os.makedirs(os.path.join(path, "logs"), mode=0o700, exist_ok=True)
        plan.save(path)
        return Submission(plan=plan, path=path, name=name, stage=stage)

    def _close_own_rounds(self) -> None:
        """A local round is over when the last of its workers has left."""
        working = getattr(self.launcher, "working", None)
        for (stage, number), path in list(self._mine.items()):
            if working is not None and not working(path):
                mark_over(self._filesystem, self.observer.folder(self._pipeline.stage(stage)), number)
                del self._mine[stage, number]

    def _finish(self, look: Look) -> None:
        """Let workers that have nothing left go in order; stop those of a run that failed."""
        deadline = time.monotonic() + LEAVE_S
        while self._mine and look.decision.state is RunState.COMPLETE and time.monotonic() < deadline:
            self.launcher.wait(0.2)
            self._close_own_rounds()
        if self._mine:
            self._stop()

    def _stop(self) -> None:
        stop = getattr(self.launcher, "stop", None)
        if stop is not None:
            stop()
            self._close_own_rounds()

    # -- gates --------------------------------------------------------------------------------------

    def _gate_file(self, stage: str, number: int) -> str:
        return os.path.join(self.run.path, "gates", f"{stage}-{number:04d}")

    def _is_watched(self, stage: str, number: int) -> bool:
        """Whether a gate of this run is queued for the round. Drivers that stay are their own gate."""
        if not self.launcher.gates or (stage, number) in self._own_gates:
            return True
        try:
            job = self._filesystem.read(self._gate_file(stage, number)).decode().strip()
        except OSError:
            return False
        return self.launcher.alive([job]) is not False

    def _watch(self, action: Watch) -> None:
        failpoint("gate.before_submit")
        job = self._gate_behind(action)
        if job is not None:
            path = self._gate_file(action.stage, action.round)
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            self._filesystem.replace(path, f"{job}\n".encode())

    def _gate_behind(self, action: Watch) -> str | None:
        """Its job; None where this driver stays and is the gate itself. Raises GateRefused after a while."""
        deadline = time.monotonic() + self.launcher.patience_s
        last = action.stage == self._pipeline.stages[-1].name
        while True:
            try:
                return self.launcher.submit_gate(
                    self.run.path, self._frozen.code, action.stage, action.round, action.jobs, last=last
                )
            except GateRefused as error:
                if self.stays:
                    self._echo(f"{action.stage}: no gate behind round {action.round}, this call moves on: {error}")
                    self._own_gates.add((action.stage, action.round))
                    return None
                if time.monotonic() >= deadline:
                    raise
            self.launcher.wait(POLL_S)

    # -- telling ------------------------------------------------------------------------------------

    def summarise(self, look: Look) -> None:
        """Write `summary.json`."""
        plain = summary(self.run, self._frozen, look)
        with suppress(OSError):
            self._filesystem.replace(self.run.summary_json, json.dumps(plain, indent=1).encode() + b"\n")

    def summary(self, look: Look) -> dict[str, Any]:
        """What `summary.json` holds."""
        return summary(self.run, self._frozen, look)


def plan_round(
    stage: PlannedStage,
    *,
    run: Run,
    lists: tuple[str, ...],
    round_number: int,
    open_shards: int,
    most_workers: int,
    code: str,
    timing: Timing,
) -> Plan:
    """What the workers of one round are told: exactly as many as have use. Pure."""
    return Plan(
        run=run.name,
        stage=stage.name,
        folder=stage.folder,
        store=run.store.root,
        spec=stage.spec,
        lists=lists,
        round=round_number,
        workers=worker_count(open_shards, stage.processes, stage.workers, most_workers),
        processes=stage.processes,
        resources=stage.resources,
        batch_size=stage.batch_size,
        gather=stage.slicing.gather,
        attempts=stage.attempts,
        task_timeout=stage.task_timeout,
        env=stage.env,
        node_setup=node_setup_name(stage),
        code=code,
        weights=stage.weights,
        timing=timing,
    )


def node_setup_name(stage: PlannedStage) -> str:
    """Of what `setup_on_node` makes: it knows the stage's class, version and parameters, not its input. Pure."""
    return f"setup-{stage.name}-{digest({'stage': stage.identity['stage']})[:12]}"


class ThrottledQueue:
    """Asks the launcher's queue at most every so often, and remembers the answer meanwhile."""

    def __init__(self, launcher: Launcher, every_s: float) -> None:
        self.kind = launcher.kind
        self._launcher, self._every = launcher, every_s
        self._answers: dict[tuple[str, ...], tuple[float, bool | None]] = {}

    def alive(self, jobs: Any) -> bool | None:
        key = tuple(jobs)
        asked, answer = self._answers.get(key, (float("-inf"), None))
        if time.monotonic() - asked >= self._every:
            answer = self._launcher.alive(key)
            self._answers[key] = (time.monotonic(), answer)
        return answer

    def find(self, name: str) -> tuple[str, ...] | None:
        return self._launcher.find(name)


def summary(run: Run, frozen: Frozen, look: Look) -> dict[str, Any]:
    """The content of `summary.json` (design §11)."""
    state = look.decision.state
    where = f"--store {run.store.root}"
    hints = {
        RunState.RUNNING: f"hpcurate status {run.name} {where}",
        RunState.COMPLETE: "",
        RunState.FAILED: f"hpcurate logs {run.name} --failed {where}; then mend it, or raise budget.failed",
        RunState.STALLED: f"hpcurate logs {run.name} {where}; then type the run's command again",
        RunState.INCOMPLETE: "type the run's command again",
        RunState.CANCELLED: "type the run's command again to go on",
    }
    return {
        "run": run.name,
        "pipeline": frozen.pipeline.name,
        "state": state.value,
        "reason": _with_setup_failure(run, look),
        "as_of": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "stages": {view.name: view.counts.to_json() for view in look.views},
        "output": frozen.output,
        "next": hints[state],
    }


def _with_setup_failure(run: Run, look: Look) -> str:
    """Why a stage stalled, in the words of the worker that could not set it up."""
    reason = look.decision.reason
    if look.decision.state is not RunState.STALLED:
        return reason
    view = next(v for v in look.views if v.ready and not v.complete)
    path = os.path.join(run.path, "submissions", submission_name(view.name, view.rounds[-1].number), "failure.json")
    with suppress(OSError, ValueError):
        reason += "; " + json.loads(PosixFilesystem().read(path))["message"]
    return reason


def look(run: Run) -> dict[str, Any]:
    """The run's summary, freshly computed from store and queue; also written to `summary.json`."""
    return look_with(Driver(run, make_launcher(run.frozen().launcher)))


def look_with(driver: Driver) -> dict[str, Any]:
    """The same with a driver that is kept, which makes the next look cheap."""
    seen = driver.look()
    idle = not (_someone_works(seen) or _gate_waits(driver.run, driver.launcher))
    if seen.decision.actions and idle and not _driven(driver.run):
        seen = Look(seen.views, Decision((), RunState.INCOMPLETE, "work is left, and nothing is queued or alive"))
    driver.summarise(seen)
    return driver.summary(seen)


def _driven(run: Run) -> bool:
    """Whether a process stays and moves the run on: a living one here, or one elsewhere that writes while we look."""
    lives = run.driver_lives()
    if lives is not None:
        return lives
    before = run.driver_beat()
    time.sleep(BEAT_S)
    return run.driver_beat() != before


def _gate_waits(run: Run, launcher: Launcher) -> bool:
    """Whether a gate of the run is queued or running: it will do what is next."""
    filesystem, folder = PosixFilesystem(), os.path.join(run.path, "gates")
    jobs = []
    for name in filesystem.names(folder):
        with suppress(OSError, UnicodeDecodeError):
            text = filesystem.read(os.path.join(folder, name)).decode().strip()
            jobs += [text] if text.isdigit() else []
    return bool(jobs) and launcher.alive(jobs) is not False


def _someone_works(seen: Look) -> bool:
    phases = (Phase.ACTIVE, Phase.UNKNOWN, Phase.SUBMITTING)
    return any(v.rounds and v.rounds[-1].phase in phases for v in seen.views if v.ready and not v.complete)


def cancel(run: Run) -> list[str]:
    """Stop what nobody else wants. Returns what was done, for the user."""
    frozen = run.frozen()
    launcher = make_launcher(frozen.launcher)
    filesystem = PosixFilesystem()
    filesystem.create(os.path.join(run.path, "cancelled"), b"")
    driver = Driver(run, launcher)
    messages = []
    for stage, view in zip(frozen.pipeline.stages, driver.observer.look(), strict=True):
        last = view.rounds[-1] if view.rounds else None
        if last is None or last.phase is not Phase.ACTIVE:
            continue
        others = [
            n for n in filesystem.names(run.store.stage(stage.folder).wanted) if n != run.name and _wants(run.store, n)
        ]
        if others:
            messages.append(f"{stage.name}: left running, {others[0]} wants it too")
            continue
        _stop_round(launcher, last.launcher, last.jobs)
        mark_over(filesystem, run.store.stage(stage.folder), last.number, cancelled=True)
        messages.append(f"{stage.name}: round {last.number} stopped ({', '.join(last.jobs) or 'no jobs'})")
    gates = os.path.join(run.path, "gates")
    for name in filesystem.names(gates):
        launcher.cancel([filesystem.read(os.path.join(gates, name)).decode().strip()])
    driver.summarise(driver.look())
    return messages or ["nothing was queued or running"]


def _stop_round(launcher: Launcher, kind: str, jobs: tuple[str, ...]) -> None:
    if kind == "local" and launcher.kind != "local":
        launcher = make_launcher({"_target_": "launchers.local.LocalLauncher"})
    launcher.cancel(jobs)


def _wants(store: Store, name: str) -> bool:
    """Whether another run that refers to a stage is still to be served."""
    with suppress(OSError, ValueError):
        plain = json.loads(PosixFilesystem().read(Run(store, name).summary_json))
        return bool(plain["state"] == RunState.RUNNING.value)
    return False


def main(argv: list[str]) -> int:
    """Gate, or background driver. Exit status as the command line's."""
    failpoint("gate.start")
    root, name = os.path.split(argv[0].rstrip("/"))
    run = Run(Store(os.path.dirname(root)), name)
    frozen = run.frozen()
    launcher = make_launcher(frozen.launcher)
    driver = Driver(run, launcher, echo=lambda line: print(line, flush=True))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if "--gate" in argv:
            stage, number, patience = argv[argv.index("--gate") + 1 :][:3]
            launcher.patience_s = float(patience)
            folder = run.store.stage(frozen.pipeline.stage(stage).folder)
            mark_over(driver._filesystem, folder, int(number))  # its dependency was fulfilled: Slurm says so
            result = driver.step()
        else:
            result = driver.drive()
    except LauncherError as error:
        reason = (
            f"the gate could not submit: {error}; type the run's command again, with wait=true if nodes may not submit"
        )
        driver.summarise(Look(driver.look().views, Decision((), RunState.INCOMPLETE, reason)))
        print(reason, file=sys.stderr)
        return 1
    print(json.dumps(driver.summary(result), indent=1), flush=True)
    return result.decision.state.exit_status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
