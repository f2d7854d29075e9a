"""The gate: `python -m hpcurate.runs.gate <run folder> <stage> <round> <patience>`, the small job after an array.

It looks, submits what is next, each array with its gate, and exits. What fails is tried again within its patience:
half of its time, so that it can report what it could not do.
"""

from __future__ import annotations

import errno
import json
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import msgspec

from hpcurate.errors import STORE_ERRNOS, LauncherError, StoreError
from hpcurate.masks import mask, mask_plain
from hpcurate.runs.commands import spelled_out
from hpcurate.runs.driver import Driver
from hpcurate.runs.folder import Run
from hpcurate.runs.launcher import make_launcher
from hpcurate.runs.metrics import publish
from hpcurate.runs.reconcile import Decision, Look
from hpcurate.runs.state import RunState
from hpcurate.runs.summary import written_report
from hpcurate.store.access import keep_private
from hpcurate.store.trouble import explain
from hpcurate.system.clock import Clock, growing
from hpcurate.system.failpoints import failpoint
from hpcurate.world import World

T = TypeVar("T")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 60.0
"""Between two tries; each pause is twice as long as the one before."""
AWAY_S = 20.0
"""How long a store that is not there at all is waited for: somebody removed it, or has to mount it and type again."""
FAILURES = (LauncherError, StoreError, OSError)
"""What may be otherwise at the next try: a shard that is listed and not found is one that this host has looked for
before it was committed, and believes to be missing for a while."""


def main(argv: list[str]) -> int:
    """One gate. Exit status as the command line's."""
    failpoint("gate.start")
    keep_private()
    path, stage, number, patience = argv[:4]
    run, world = run_and_world(path)
    frozen = patiently(run.frozen, world.clock, float(patience), lambda: not run.gone)
    launcher = make_launcher(frozen.launcher)
    launcher.set_patience(float(patience))  # no longer: a gate that Slurm ends cannot report
    driver = Driver(run, launcher, echo=lambda line: print(line, flush=True), world=world)
    leave_on_sigterm()
    return reporting(driver, lambda: move_on(driver, stage, int(number or 0), float(patience)))


def run_and_world(path: str) -> tuple[Run, World]:
    """The run in this folder, in a world that expects its store."""
    world = World()
    world = world.expecting(Run.at(path).store)
    return Run.at(path, world.filesystem), world


def move_on(driver: Driver, stage: str, number: int, patience_s: float) -> Look:
    """After the jobs of a round: write down that it is over, and do what comes next. Raises LauncherError, OSError.

    A gate of a compiled folder that no round has only does what comes next: `stage` is empty.
    """

    def move() -> Look:
        if stage:
            driver.mark_over(stage, number)  # its dependency was fulfilled: Slurm's word
        return driver.step(settle_s=patience_s / 2)

    return patiently(move, driver.world.clock, patience_s, lambda: not driver.run.gone)


def patiently(move: Callable[[], T], clock: Clock, patience_s: float, worth_it: Callable[[], bool] = lambda: True) -> T:
    """One refusal of sbatch, or one failure of the store, is not the end of a run: nobody else would move it on.

    `worth_it`: whether there still is a run; somebody may have removed it.
    """
    began, pauses = clock.monotonic(), growing(FIRST_PAUSE_S, LONGEST_PAUSE_S)
    while True:
        pause_s = next(pauses)
        try:
            return move()
        except FAILURES as error:
            most_s = min(patience_s, AWAY_S) if _is_away(error) else patience_s
            if clock.monotonic() + pause_s >= began + most_s or not worth_it():
                raise
            print(mask(f"{error}; trying again in {pause_s:.0f} s"), file=sys.stderr, flush=True)
        clock.sleep(pause_s)


def _is_away(error: BaseException) -> bool:
    links = (error, error.__context__)
    return any(isinstance(link, OSError) and link.errno == errno.ENODEV for link in links)


def leave_on_sigterm() -> None:
    """In order: a driver stops its workers first."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def reporting(driver: Driver, move: Callable[[], Look]) -> int:
    """Move the run on without anybody who reads: what became of it is printed, and stands in its summary."""
    try:
        result = move()
    except FAILURES as error:
        state, reason = _as_state(error, driver.run.store.root)
        _report_failure(driver, reason, state)
        print(mask(spelled_out(reason, driver.frozen.command, driver.run.store.root)), file=sys.stderr)
        return 1
    print(json.dumps(mask_plain(driver.report(result).plain()), indent=1), flush=True)
    return result.decision.state.exit_status


def _as_state(error: Exception, root: str) -> tuple[RunState, str]:
    """What the run is, and why, where it could not be moved on."""
    if isinstance(error, OSError) and error.errno in STORE_ERRNOS:
        return RunState.STALLED, explain(error, root)
    way_out = "type the run's command again, with wait=true if nodes may not submit"
    return RunState.INCOMPLETE, f"what comes next could not be submitted: {error}; {way_out}"


def _report_failure(driver: Driver, reason: str, state: RunState = RunState.INCOMPLETE) -> None:
    try:
        look = Look(driver.look().views, Decision((), state, reason))
        publish(driver.run, driver.frozen, driver.report(look))
    except FAILURES:  # the same again: what was known before, and why there is no more
        before = written_report(driver.run)
        with suppress(OSError):
            if before is not None:
                publish(driver.run, driver.frozen, msgspec.structs.replace(before, state=state, reason=reason))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
