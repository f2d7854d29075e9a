"""`prepare`: overlapped with `process`, bounded, waited for, and failing for its own task alone."""

from __future__ import annotations

import time
from pathlib import Path

from unit_stages import Number, numbers

from hpcurate import Stage
from hpcurate.testing import try_stage


class Slow(Stage[Number, Number]):
    """`prepare` takes its time."""

    version = 1

    def prepare(self, task: Number) -> None:
        """A tenth of a second."""
        time.sleep(0.1)

    def process(self, tasks: list[Number]) -> list[Number]:
        """At once."""
        return tasks


def test_the_time_that_process_waited_for_prepare_is_counted(tmp_path: Path) -> None:
    """Nobody could see whether a GPU waited for its CPUs."""
    counts = try_stage(Slow(), numbers(*range(3)), tmp_path).counts
    assert counts.waiting_seconds > 0.05
