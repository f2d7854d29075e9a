"""A line of the queue in words of what to do."""

from __future__ import annotations

from hpcurate.report.queue import ADVICE, describe
from hpcurate.runs.launcher import JobRow


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
