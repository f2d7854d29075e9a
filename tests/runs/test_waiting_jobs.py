"""Which jobs of a compiled folder a run takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest

from hpcurate.errors import LauncherError
from hpcurate.runs.compiled import Compiled
from hpcurate.runs.folder import Run
from hpcurate.runs.launcher import JobRow
from hpcurate.runs.left import Group
from hpcurate.runs.reconcile import Submit
from hpcurate.runs.waiting_jobs import WaitingJobs, submission_of
from hpcurate.store.layout import Store
from hpcurate.store.rounds import Jobs
from hpcurate.verdict import Allowance
from launchers.inline import InlineLauncher

COMPILED = Compiled(identity="1d", fingerprints={}, store="/s", folder="/f", words=(), code="code-0", tag="t")


@attrs.define
class Queued:
    """A `Compiler` with a queue of its own: job, what it waits for."""

    rows: list[tuple[JobRow, str]] | None = attrs.field(factory=list)
    left: dict[str, int] = attrs.field(factory=dict)
    held: dict[str, str] = attrs.field(factory=dict)

    def waiting(self, names: Sequence[str], after: str = "") -> list[JobRow] | None:
        """See `Compiler`."""
        found = None if self.rows is None else [r for r, held in self.rows if r.name in names and after in ("", held)]
        return found

    def shorten(self, job: JobRow, elements: int) -> None:
        """See `Compiler`."""
        self.left[job.id] = elements

    def hold(self, job: JobRow, gate: str) -> None:
        """See `Compiler`."""
        self.held[job.id] = gate


@attrs.define
class Scheduled(InlineLauncher):
    """A launcher that has it, and waits for nothing."""

    compiler: Queued  # type: ignore[assignment]

    def wait(self, seconds: float) -> None:
        """See `Launcher`."""


@pytest.fixture
def queued() -> Queued:
    """An array of 8 that waits, its gate, and the gate of another array."""
    rows = [("5", "a-t", 8, "3"), ("6", "gate-a-t", 1, "4"), ("7", "gate-a-t", 1, "5"), ("8", "b-t", 2, "7")]
    return Queued([(JobRow(id=id, name=name, state="PENDING", count=n), held) for id, name, n, held in rows])


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run of a store."""
    run = Run(Store(str(tmp_path)), "r")
    run.filesystem.make_folders(run.path)
    return run


def jobs_of(run: Run, queued: Queued, *, compiled: bool = True) -> WaitingJobs:
    """As a launcher with that queue sees them."""
    jobs = WaitingJobs(run, Scheduled(queued))
    if compiled:
        jobs.remember(COMPILED)
    return jobs


def test_an_array_that_waits_is_taken_with_its_gate(run: Run, queued: Queued) -> None:
    """Of its elements as many as there is work for; each job finds what it was taken for."""
    jobs = jobs_of(run, queued)
    array = jobs.array(Submit("a", 3, Group(2)))
    assert array is not None
    assert ("5",) == jobs.take(array, "a", 3, 2).jobs.ids
    assert {"5": 2} == queued.left
    assert "7" == jobs.gate("a", 3, Jobs(("5",)))
    assert ["a-0003", "a-0003", ""] == [submission_of(run, job) for job in ("5", "7", "6")]
    assert ("6", "8") == jobs.left(["a", "b"]).ids


def test_arrays_wait_for_a_gate_that_comes_between(run: Run, queued: Queued) -> None:
    """Of a second round; before, they began as the first gate ended, and left. A gate of the folder holds them already."""
    jobs = jobs_of(run, queued)
    jobs.take(JobRow(id="7", name="gate-a-t", state="PENDING"), "a", 1, 1)
    jobs.hold(["b"], "7")
    assert {} == queued.held
    jobs.hold(["b"], "99")
    assert {"8": "99"} == queued.held


def test_what_no_array_that_waits_is_for(run: Run, queued: Queued) -> None:
    """More memory, or nodes that are left out: what it asks for was decided before. Nor is a gate for other jobs."""
    jobs = jobs_of(run, queued)
    assert jobs.array(Submit("a", 2, Group(1, has=Allowance(memory_mb=9)))) is None
    assert jobs.array(Submit("a", 2, Group(1), exclude=("n1",))) is None
    assert jobs.array(Submit("c", 1, Group(1))) is None
    assert jobs.gate("a", 1, Jobs(("99",))) is None


def test_an_ordinary_run_does_not_ask(run: Run, queued: Queued) -> None:
    """Nor does it when nobody answers; a compiled one waits for an answer, it submits nothing meanwhile."""
    queued.rows = None
    jobs = jobs_of(run, queued, compiled=False)
    assert jobs.array(Submit("a", 1, Group(1))) is None
    assert not jobs.stop(["a"])
    with pytest.raises(LauncherError, match="does not answer"):
        jobs_of(run, queued).array(Submit("a", 1, Group(1)))
