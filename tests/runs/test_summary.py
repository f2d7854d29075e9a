"""`summary.json` as a value, and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from reports import run_report, stage_report

from hpcurate.failures import FailureKind, Report
from hpcurate.runs.folder import Run
from hpcurate.runs.nodes import Nodes
from hpcurate.runs.reconcile import Phase, RoundView, StageView
from hpcurate.runs.state import RunState
from hpcurate.runs.summary import RunReport, StageReport, notes_of, written_report
from hpcurate.store.layout import Store

SUMMARY = """{
 "run": "20260101-000000-words-abcdef",
 "pipeline": "words",
 "state": "failed",
 "reason": "show: 9 of 9 tasks failed",
 "as_of": "2026-01-01T00:00:00Z",
 "stages": {
  "show": {
   "in": 9,
   "out": 0,
   "dropped": 0,
   "failed": 9,
   "shards": null,
   "shards_done": 0,
   "seconds": 1.5
  }
 },
 "output": "/out/\\udcff",
 "next": "hpcurate logs"
}"""


def test_the_form_of_summary_json_stays() -> None:
    """Keys, their order, odd bytes."""
    report = RunReport.of(json.loads(SUMMARY))
    assert json.dumps(report.plain(), indent=1) == SUMMARY
    assert (report.state, report.failed) == (RunState.FAILED, 9)


@pytest.mark.parametrize("text", [None, "", "{}", '{"run": "r"}', SUMMARY.replace("failed", "flying", 1)])
def test_a_summary_that_cannot_be_read_is_none(tmp_path: Path, text: str | None) -> None:
    """`hpcurate runs` shows such a run with `?`."""
    run = Run(Store(str(tmp_path)), "r")
    Path(run.path).mkdir(parents=True)
    if text is not None:
        Path(run.summary_json).write_text(text)
    assert written_report(run) is None


def test_a_stage_is_complete_when_all_its_shards_are_committed() -> None:
    """Not while their number is unknown."""
    assert stage_report(shards=2).complete
    assert not stage_report(shards=None, shards_done=0).complete
    assert not run_report().stages["a"].complete


SHORT = "1 shard that ran out of memory, 816 of 419 MB; it has 838 MB"


def test_what_is_special_about_the_rounds_of_a_stage_is_said_with_numbers() -> None:
    """Since the latest call, round by round; and each node that is left out, with why."""
    rounds = tuple(RoundView(number=n, phase=Phase.OVER, done_before=0, special=SHORT * (n != 2)) for n in (1, 2, 3))
    setup = Report(worker="w", node="n4", kind=FailureKind.SETUP, message="no licence")
    nodes = Nodes(bad={"n7": "no GPU"}, setups=(setup,), usable=8)
    view = StageView(name="load", ready=True, rounds=rounds, forgiven=1, nodes=nodes)
    said = (f"round 3: {SHORT}", "without n4: setup failed there: no licence", "without n7: no GPU")
    assert said == notes_of(view)
    report = StageReport.of(view.counts, said)
    assert said == report.notes
    assert () == notes_of(StageView(name="load", ready=True, rounds=rounds[:2], forgiven=1))
