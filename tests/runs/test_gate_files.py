"""Which job is the gate of a round."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcurate.runs.folder import Run
from hpcurate.runs.gate_files import GateFiles
from hpcurate.store.filesystem import POSIX
from hpcurate.store.layout import Store


@pytest.fixture
def gates(tmp_path: Path) -> GateFiles:
    """Of a run that has none yet."""
    return GateFiles(POSIX, Run(Store(str(tmp_path)), "r"))


@pytest.mark.parametrize("job", ["12", "12.pbs", "a-b"])
def test_a_gate_is_found_whatever_its_job_is_called(gates: GateFiles, job: str) -> None:
    """Else a gate would be submitted again at every look."""
    gates.record("cut_2", 1, job)
    assert (job, None, (job,)) == (gates.job("cut_2", 1), gates.job("cut_2", 2), gates.jobs())


def test_what_gates_print_and_run_is_no_gate(gates: GateFiles, tmp_path: Path) -> None:
    """Scripts and outputs lie in the same folder."""
    gates.record("cut", 1, "12")
    for name in ("gate-12.out", "submission.sh", ".cut-0001.ab12"):
        (tmp_path / "runs" / "r" / "gates" / name).write_text("13")
    assert ("12",) == gates.jobs()


def test_a_gate_from_before_is_known_but_counts_for_nothing(gates: GateFiles, tmp_path: Path) -> None:
    """It cannot read what we freeze: the round gets another. Cancelling still finds it."""
    gates.record("cut", 1, "12")
    (tmp_path / "runs" / "r" / "gates" / "cut-0001").write_text("12\n")
    assert (None, ("12",)) == (gates.job("cut", 1), gates.jobs())
