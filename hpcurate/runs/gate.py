"""The gate: `python -m hpcurate.runs.gate <run folder> <stage> <round> <patience>`, the small job after an array.

It looks once, submits what is next, each array with its gate, and exits.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable

from hpcurate.errors import LauncherError
from hpcurate.runs.driver import Driver
from hpcurate.runs.folder import Run
from hpcurate.runs.launcher import make_launcher
from hpcurate.runs.reconcile import Decision, Look
from hpcurate.runs.state import RunState
from hpcurate.runs.summary import report_of, write_report
from hpcurate.system.failpoints import failpoint


def main(argv: list[str]) -> int:
    """One gate. Exit status as the command line's."""
    failpoint("gate.start")
    path, stage, number, patience = argv[:4]
    run = Run.at(path)
    frozen = run.frozen()
    launcher = make_launcher(frozen.launcher)
    launcher.set_patience(float(patience))  # no longer: a gate that Slurm ends cannot report
    driver = Driver(run, launcher, echo=lambda line: print(line, flush=True))
    driver.observer.commits.confirm_s = 0.0  # a listing of a job that has just started is no stale one
    folder = frozen.pipeline.stage(stage).folder
    driver.observer.store(folder).rounds.mark_over(int(number))  # its dependency was fulfilled: Slurm's word
    return reporting(driver, driver.step)


def reporting(driver: Driver, move: Callable[[], Look]) -> int:
    """Move the run on without anybody who reads: what became of it is printed, and stands in its summary."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        result = move()
    except LauncherError as error:
        reason = (
            f"what comes next could not be submitted: {error}; type the run's command again, "
            "with wait=true if nodes may not submit"
        )
        look = Look(driver.look().views, Decision((), RunState.INCOMPLETE, reason))
        write_report(driver.run, report_of(driver.run, driver.frozen, look))
        print(reason, file=sys.stderr)
        return 1
    print(json.dumps(report_of(driver.run, driver.frozen, result).plain(), indent=1), flush=True)
    return result.decision.state.exit_status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
