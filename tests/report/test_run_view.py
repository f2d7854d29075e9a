"""One view of a run for all reports: nothing else of them reaches the engine."""

from __future__ import annotations

import json
import re

from checkout import ROOT
from driven import Site

from hpcurate.report.dead_letters import dead_letters
from hpcurate.report.drops import drop_reasons
from hpcurate.report.run_view import RunView
from hpcurate.runs.folder import find_run
from hpcurate.runs.state import RunState
from hpcurate.store.layout import Store


def test_a_view_has_what_the_store_has(site: Site) -> None:
    """State, committed shards, dead letters and drops of a run; no job is left of a complete one."""
    assert site.drive("inline").status == 0
    view = RunView(find_run(Store(str(site.store)), None))
    report = view.look()
    assert report.state is RunState.COMPLETE
    assert json.loads(json.dumps(report.plain())) == site.summary()
    for stage in view.planned:
        assert len(view.committed(stage)) == report.stages[stage.name].shards == report.stages[stage.name].shards_done
    assert [one.letter.message for one in dead_letters(view)] == ["thirteen is not processed here"]
    assert [one.letter.message for one in dead_letters(view, "digits")] == []
    assert sum(drop_reasons(view, "double")["double"].values()) == report.stages["double"].dropped
    assert view.jobs() == ()


def test_reports_and_verbs_need_no_driver() -> None:
    """They look; only `cancel` acts."""
    files = [*ROOT.glob("hpcurate/report/*.py"), *ROOT.glob("hpcurate/cli/verbs/*.py")]
    pattern = re.compile(r"hpcurate\.runs\.(driver|gate|reconcile|live)\b")
    users = {path.name for path in files if pattern.search(path.read_text())}
    assert users == {"run_view.py"}
