"""What squeue prints, as rows of the queue."""

from __future__ import annotations

import pytest

from hpcurate.runs.launcher import JobRow
from launchers.slurm.queue import elements, parse_queue


def test_the_queue_is_read_by_array_state_and_reason() -> None:
    """Elements in one state are one row; ranges are counted; a name may hold the separator."""
    text = (
        "12_1|RUNNING|None|2026-01-01T00:00:00|a|b\n12_2|RUNNING|None|2026-01-01T00:00:09|a|b\n"
        "12_[4-9,11%2]|PENDING|Priority|2026-01-01T01:00:00|a|b\n13|PENDING|Dependency|N/A|gate\n"
    )
    assert parse_queue(text) == [
        JobRow(id="12", name="a|b", state="RUNNING", count=2),
        JobRow(id="12", name="a|b", state="PENDING", reason="Priority", start="2026-01-01T01:00:00", count=7),
        JobRow(id="13", name="gate", state="PENDING", reason="Dependency"),
    ]


@pytest.mark.parametrize(("id", "count"), [("7", 1), ("7_0", 1), ("7_[0]", 1), ("7_[0-3]", 4), ("7_[1,3-7:2%9]", 4)])
def test_elements_are_counted(id: str, count: int) -> None:
    """As squeue writes them."""
    assert count == elements(id)
