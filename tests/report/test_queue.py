"""The queue: how often it is asked, and its rows in words of what to do."""

from __future__ import annotations

from hpcurate.report.queue import ADVICE, QueueRows, describe
from hpcurate.runs.launcher import JobRow, NoQueue
from hpcurate.store.rounds import Jobs
from hpcurate.system.clock import SystemClock


def test_a_known_reason_has_advice() -> None:
    """With the expected start where the scheduler has one."""
    row = JobRow(id="1", name="n", state="PENDING", reason="PartitionTimeLimit", start="noon")
    assert describe(row) == f"pending, PartitionTimeLimit: {ADVICE['PartitionTimeLimit']}; expected start noon"


def test_an_unknown_reason_is_shown_as_it_is() -> None:
    """Sites have their own."""
    assert describe(JobRow(id="1", name="n", state="PENDING", reason="Odd")) == "pending, Odd"


def test_a_job_that_runs_has_no_reason() -> None:
    """Only its state."""
    assert describe(JobRow(id="1", name="n", state="RUNNING", count=3)) == "running"


class Busy(NoQueue):
    """A scheduler that counts how often it is asked; it does not answer the third time."""

    def __init__(self) -> None:
        self.asked: list[Jobs] = []

    def rows(self, jobs: Jobs) -> list[JobRow] | None:
        """As many elements as there were questions."""
        self.asked.append(jobs)
        return None if len(self.asked) == 3 else [JobRow(id="1", name="n", state="RUNNING", count=len(self.asked))]


class At(SystemClock):
    """A clock that stands at a moment."""

    now = 0.0

    def monotonic(self) -> float:
        """See `Clock`."""
        return self.now


def test_the_queue_is_asked_again_after_a_while_or_about_other_jobs() -> None:
    """In between, what it last answered; no answer is no rows."""
    queue, clock = Busy(), At()
    rows = QueueRows(queue, 30.0, clock)
    counts = []
    for now, jobs in ((0.0, "1"), (29.0, "1"), (29.0, "2"), (58.0, "2"), (59.0, "2")):
        clock.now = now
        counts.append([row.count for row in rows.of(Jobs((jobs,)))])
    assert counts == [[1], [1], [2], [2], []]
    assert queue.asked == [Jobs(("1",)), Jobs(("2",)), Jobs(("2",))]
