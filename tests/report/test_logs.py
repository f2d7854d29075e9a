"""Which log belongs to what, from the files of a run's folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hpcurate.report.logs import Tail, error_tails, gate_logs, worker_index, worker_logs
from hpcurate.runs.folder import Run
from hpcurate.store.layout import Store


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Two submissions of a stage, one of another, an array's output and a gate's."""
    run = Run(Store(str(tmp_path)), "r")
    logs = {
        "submissions/a-0001/logs/0.log": "zero\n",
        "submissions/a-0001/logs/1.log": "one\n",
        "submissions/a-0001/array-7.out": "",
        "submissions/a-0002/logs/0.log": "again\n",
        "submissions/a-0002/array-8.out": "slurmstepd: error: killed\n",
        "submissions/b-c-0001/logs/0.log": "other\n",
        "gates/gate-a-0001.out": "an Error\nand more\n",
    }
    for age, (name, text) in enumerate(logs.items()):
        path = Path(run.path, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (age, age))
    return run


def test_logs_are_found_by_stage_and_worker(run: Run) -> None:
    """What an array wrote belongs to all its workers; an empty one is left out."""

    def names(stage: str | None, worker: int | None) -> list[str]:
        return [
            str(path.relative_to(Path(run.path, "submissions")))
            for path in worker_logs(run, ["b-c", "a"], stage, worker)
        ]

    assert names("a", 0) == ["a-0001/logs/0.log", "a-0002/logs/0.log"]
    assert names("a", None) == ["a-0001/logs/0.log", "a-0001/logs/1.log", "a-0002/logs/0.log", "a-0002/array-8.out"]
    assert names("b-c", None) == ["b-c-0001/logs/0.log"]
    assert names(None, None)[:2] == ["b-c-0001/logs/0.log", "a-0001/logs/0.log"]  # as in the pipeline
    assert len(names(None, None)) == 5
    assert [path.name for path in gate_logs(run)] == ["gate-a-0001.out"]


def test_the_newest_outputs_with_an_error_are_shown(run: Run) -> None:
    """Of arrays and gates: what no worker could log."""
    array = Tail(Path(run.path, "submissions/a-0002/array-8.out"), ("slurmstepd: error: killed",))
    assert error_tails(run) == [array, Tail(gate_logs(run)[0], ("an Error", "and more"))]


def test_the_report_that_a_gate_prints_is_no_error(run: Run) -> None:
    """Its reason had the word in it, and `why` showed the last lines of the JSON under what it had said already."""
    gate = gate_logs(run)[0]
    report = json.dumps({"run": run.name, "reason": "setup failed: RuntimeError: x", "next": "n"}, indent=1)
    gate.write_text(report + "\n")
    assert [one.path.name for one in error_tails(run)] == ["array-8.out"]
    gate.write_text(f"sbatch: error: no\n{report}\n")
    assert Tail(gate, ("sbatch: error: no",)) in error_tails(run)


@pytest.mark.parametrize(("worker", "index"), [("1234-7-r0-ab12cd34", 7), ("local-12-r3-ab", 12), ("odd", 0)])
def test_the_index_of_a_worker_is_in_its_id(worker: str, index: int) -> None:
    """Job, index, restart count, nonce."""
    assert worker_index(worker) == index
