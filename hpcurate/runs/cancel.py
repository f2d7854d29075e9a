"""Cancelling a run: stop what nobody else wants."""

from __future__ import annotations

import os

from hpcurate.runs.folder import Run
from hpcurate.runs.launcher import Launcher, make_launcher
from hpcurate.runs.looking import RunLooker
from hpcurate.runs.reconcile import Phase, RoundView
from hpcurate.runs.state import RunState
from hpcurate.runs.summary import report_of, write_report, written_report
from hpcurate.store.layout import Store
from hpcurate.store.rounds import Jobs

CHILDREN = {"_target_": "launchers.local.LocalLauncher"}
"""Stops workers of this machine, whichever launcher the run has now."""


def cancel(run: Run) -> list[str]:
    """Stop it. Returns what was done, for the user."""
    launcher = make_launcher(run.frozen().launcher)
    run.filesystem.create(os.path.join(run.path, "cancelled"), b"")
    looker = RunLooker(run, launcher)
    messages = []
    for stage, view in zip(looker.frozen.pipeline.stages, looker.observer.look(), strict=True):
        store = looker.observer.store(stage.folder)
        last = view.rounds[-1] if view.rounds else None
        if last is None or last.phase is not Phase.ACTIVE:
            continue
        others = [name for name in store.wanted_by() if name != run.name and _is_running(run.store, name)]
        if others:
            messages.append(f"{stage.name}: left running, {others[0]} wants it too")
            continue
        _stop(launcher, last)
        store.rounds.mark_over(last.number, cancelled=True)
        messages.append(f"{stage.name}: round {last.number} stopped ({str(last.jobs) or 'no jobs'})")
    launcher.queue.cancel(Jobs(looker.gates.jobs()))
    write_report(run, report_of(run, looker.frozen, looker.look()))
    return messages or ["nothing was queued or running"]


def _stop(launcher: Launcher, last: RoundView) -> None:
    queue = launcher.queue if last.queue else make_launcher(CHILDREN).queue
    queue.cancel(last.jobs)


def _is_running(store: Store, name: str) -> bool:
    """Whether another run that refers to a stage is still to be served."""
    report = written_report(Run(store, name))
    return report is not None and report.state is RunState.RUNNING
