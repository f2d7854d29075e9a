"""Who moves a started run on: this call until the end, the gates, or a driver in the background."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence

import msgspec

from hpcurate.errors import GateRefused
from hpcurate.runs.driver import Driver, ShowProgress
from hpcurate.runs.folder import Run
from hpcurate.runs.launcher import Launcher
from hpcurate.runs.metrics import publish
from hpcurate.runs.outcome import Outcome
from hpcurate.runs.reconcile import Decision, Look, StageView
from hpcurate.runs.state import RunState
from hpcurate.start import module_command
from hpcurate.system.processes import ProcessIdentity
from hpcurate.world import World

__all__ = ["Progress", "ShowProgress", "hand_over"]

STAYING_PATIENCE_S = 3600.0
"""How long a call that stays waits for room under a site's submit limit."""
Echo = Callable[[str], None]


def hand_over(
    run: Run,
    launcher: Launcher,
    wait: bool | None,
    echo: Echo,
    progress: ShowProgress,
    world: World,
) -> Outcome:
    """Stay until the end, submit and leave, or leave a driver behind; `wait` None is the launcher's own way."""
    stays = launcher.stays if wait is None else wait
    if stays:  # somebody who waits anyway waits for room in the queue, too
        launcher.set_patience(STAYING_PATIENCE_S, at_least=True)
    driver = Driver(run, launcher, echo=echo, stays=stays, world=world)
    before = driver.look()
    if not stays and launcher.children is not None:
        return _detach(run, before, driver, echo)
    with _sigterm_as_interrupt():
        look = driver.drive(progress) if stays else _submit(driver)
    if before.decision.state is RunState.COMPLETE:
        echo("nothing to do: every shard was committed before, none was attempted")
    return Outcome(run, driver.report(look))


def _submit(driver: Driver) -> Look:
    """Submit what is ready and its gates. An array without its gate runs, but nothing follows it by itself."""
    try:
        return driver.step()
    except GateRefused as error:
        reason = (
            f"an array is queued, its gate is not ({error}); when it is done, type the same again, or now wait=true"
        )
        look = Look(driver.look().views, Decision((), RunState.INCOMPLETE, reason))
        publish(driver.run, driver.frozen, driver.report(look))
        return look


def _detach(run: Run, before: Look, driver: Driver, echo: Echo) -> Outcome:
    """Workers that live and die with their starter get one that outlives this call: a driver in its own session."""
    running = msgspec.structs.replace(
        before, decision=msgspec.structs.replace(before.decision, state=RunState.RUNNING, reason="")
    )
    publish(run, driver.frozen, driver.report(running))
    log = open(os.path.join(run.path, "driver.log"), "ab")  # noqa: SIM115 - the driver keeps writing
    process = subprocess.Popen(
        module_command(sys.executable, run.frozen().code, "hpcurate.runs.driver", run.path),
        stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip
    run.note_driver(ProcessIdentity.of(process.pid))
    echo(f"a driver continues in the background; its log: {log.name}")
    return Outcome(run, driver.report(running))


class Progress:
    """A line for each stage that moved."""

    def __init__(self, echo: Echo) -> None:
        self._echo = echo
        self._shown: dict[str, tuple[int, int]] = {}

    def __call__(self, views: Sequence[StageView], works: object = None) -> None:
        """Show what changed."""
        for view in views:
            counts = view.counts
            now = (counts.shards_done, counts.failed)
            if counts.shards is None or self._shown.get(view.name) == now:
                continue
            self._shown[view.name] = now
            failed = f", {counts.failed} failed" if counts.failed else ""
            self._echo(
                f"{view.name}: {counts.shards_done}/{counts.shards} shards, "
                f"{counts.tasks_in} in, {counts.tasks_out} out, {counts.dropped} dropped{failed}"
            )


class _sigterm_as_interrupt:
    """While the driver stays, SIGTERM hands the work back as Ctrl-C does."""

    def __enter__(self) -> None:
        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        try:
            self._before = signal.signal(signal.SIGTERM, interrupt)
        except ValueError:  # not the main thread: a notebook's or a test's business
            self._before = None

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
