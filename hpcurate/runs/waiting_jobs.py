"""Jobs of a compiled folder that wait for a run: which of them it takes.

A compiled folder has a job that starts the run, an array and a gate for each stage, each held by those that it needs.
Whoever moves such a run on takes an array that waits instead of submitting another, and the gate that waits for that
array; in all else it is a run like others. A job that nobody has taken leaves at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cached_property

from hpcurate.errors import LauncherError
from hpcurate.planning.plan import submission_name
from hpcurate.runs.compiled import Compiled, read_compiled
from hpcurate.runs.folder import Run
from hpcurate.runs.launcher import JobRow, Launcher, Started
from hpcurate.runs.reconcile import Submit
from hpcurate.store.rounds import Jobs
from hpcurate.system.clock import growing

ASKED_S = 60.0
"""How long the queue is asked, beside the time that each question takes."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0


class WaitingJobs:
    """The jobs of a compiled folder, as the run sees them: the one place where it is decided which of them it takes."""

    def __init__(self, run: Run, launcher: Launcher) -> None:
        self._run, self._launcher = run, launcher

    def remember(self, compiled: Compiled) -> None:
        """From now on the run takes jobs of that folder."""
        self._run.filesystem.make_folders(os.path.dirname(self._names), mode=0o700)
        self._run.filesystem.replace(self._names, compiled.text().encode())

    @property
    def _names(self) -> str:
        return _path(self._run, "compiled.json")

    @cached_property
    def _compiled(self) -> Compiled | None:
        try:
            data = self._run.filesystem.read(self._names)
        except FileNotFoundError:
            return None
        return read_compiled(data, self._names) if self._launcher.compiler else None

    def array(self, action: Submit) -> JobRow | None:
        """The one that waits for an ordinary round of a stage. None also where a round is to have more than usual, or
        to leave nodes out: what an array asks for was decided before. Raises LauncherError while the queue is silent.
        """
        if self._compiled is None or action.group.has or action.group.least_s or action.exclude:
            return None
        return next(iter(self._waiting([self._compiled.array(action.stage)])), None)

    def take(self, job: JobRow, stage: str, number: int, elements: int) -> Started:
        """Have an array work for a round, with so many elements: each asks for that as it begins."""
        self._note(job.id, submission_name(stage, number))
        compiler = self._launcher.compiler
        if compiler is not None and elements < job.count:
            compiler.shorten(job, elements)
        return Started(Jobs(ids=(job.id,)))

    def gate(self, stage: str, number: int, jobs: Jobs) -> str | None:
        """The gate that waits for an array which the run has taken for a round; that gate is its own from now on."""
        if self._compiled is None or not any(submission_of(self._run, job) for job in jobs.ids):
            return None
        for gate in self._waiting([self._compiled.gate(stage)], after=jobs.ids[-1]):
            self._note(gate.id, submission_name(stage, number))
            return gate.id
        return None

    def hold(self, stages: Iterable[str], gate: str) -> None:
        """Have the arrays of these stages wait for a gate that is none of the folder's: their stage is ready later."""
        if self._compiled is None or self._launcher.compiler is None or submission_of(self._run, gate):
            return
        for row in self._asked([self._compiled.array(stage) for stage in stages]) or []:
            self._launcher.compiler.hold(row, gate)

    def stop(self, stages: Iterable[str]) -> None:
        """Take out of the queue what waits there and the run has not taken."""
        if left := self.left(stages):
            self._launcher.queue.cancel(left)

    def left(self, stages: Iterable[str], *, start: bool = False) -> Jobs:
        """What waits in the queue and the run has not taken, with `start` what would start it, too."""
        if self._compiled is None:
            return Jobs()
        names = [name(stage) for stage in stages for name in (self._compiled.array, self._compiled.gate)]
        rows = self._asked([*names, *[self._compiled.start][: int(start)]]) or []
        return Jobs(tuple(row.id for row in rows if not submission_of(self._run, row.id)))

    def _note(self, job: str, submission: str) -> None:
        self._run.filesystem.replace(_path(self._run, job), submission.encode())

    def _waiting(self, names: list[str], after: str = "") -> list[JobRow]:
        """Asked until there is an answer: another array beside one that waits would be one too many."""
        pauses, waited_s = growing(FIRST_PAUSE_S, LONGEST_PAUSE_S), 0.0
        while (rows := self._asked(names, after)) is None:
            if waited_s >= ASKED_S:
                raise LauncherError(f"the queue does not answer, in which {' or '.join(names)} may wait")
            pause_s = next(pauses)
            waited_s += pause_s
            self._launcher.wait(pause_s)
        return rows

    def _asked(self, names: Sequence[str], after: str = "") -> list[JobRow] | None:
        compiler = self._launcher.compiler
        return compiler.waiting(names, after) if compiler else []


def submission_of(run: Run, job: str) -> str:
    """Name of the submission that a job was taken for; empty: for none. Opened, not looked for in a listing."""
    try:
        return run.filesystem.read(_path(run, job)).decode()
    except FileNotFoundError:
        return ""


def _path(run: Run, name: str) -> str:
    return os.path.join(run.path, "compiled", name)
