"""A gather goes on with what there is, and says how many of its inputs are missing; `allow_missing` makes it wait."""

from __future__ import annotations

from typing import Any

import pytest
from driven import Site
from result_stages import Below, Measure
from unit_stages import Growing

import hpcurate
from hpcurate.errors import ConfigError
from hpcurate.planning.budget import Budget
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.runs.missing_inputs import MissingInputs
from hpcurate.runs.retry import Retry

SMALL = {"memory": "100MB"}


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ({"embed": 3}, "3 of 100 inputs are missing (dead letters of embed)"),
        ({"embed": 1}, "1 of 98 inputs is missing (dead letters of embed)"),
        ({"cut": 1, "embed": 2}, "3 of 100 inputs are missing (dead letters: 1 of cut, 2 of embed)"),
    ],
)
def test_how_many_are_missing_is_said(by: dict[str, int], said: str) -> None:
    """Of all that there would be, and where they ended."""
    assert said == str(MissingInputs(by, 97))


def go(site: Site, *, retry: Retry | None = None, **options: Any) -> hpcurate.OpenRun:
    """Numbers of which `below` fails on 13, another stage, and a gather of what is left."""
    steps = {
        "below": Step(Below(20.0), StageOptions(resources=SMALL, shard_tasks=2)),
        "again": Step(Below(20.0), StageOptions(resources=SMALL)),
        "measure": Step(Measure(), StageOptions(resources=SMALL, **options)),
    }
    budget = Budget(failed=1)
    return hpcurate.run(steps, Growing((1, 2, 13)), store=site.store, launcher="inline", budget=budget, retry=retry)


def test_a_gather_waits_for_a_retry_or_for_leave_to_go_on(site: Site) -> None:
    """By name, before it runs, with the number that helps; that is no part of what it is."""
    said = "1 of 3 inputs is missing (dead letters of below)"
    stalled = go(site, allow_missing=0)
    assert ("stalled", None) == (stalled.summary["state"], stalled.summary["stages"]["measure"]["shards"])
    assert stalled.summary["reason"].startswith(
        f"measure: {said}, and stages.measure.allow_missing is 0; `hpcurate retr"
    )
    assert "stages.measure.allow_missing=1" in stalled.summary["next"]
    assert (said,) == stalled.summary["stages"]["measure"]["notes"]
    tried = go(site, allow_missing=0, retry=Retry(run=stalled.run.name))
    assert ("stalled", stalled.summary["reason"]) == (tried.summary["state"], tried.summary["reason"])
    for options in ({"allow_missing": 1}, {}):
        done = go(site, **options)
        assert ("complete", stalled.run.name) == (done.summary["state"], done.run.name)
        assert (said,) == done.summary["stages"]["measure"]["notes"]
        assert "notes" not in done.summary["stages"]["again"]
    folders = {stage.folder for run in (stalled, done) for stage in run.run.frozen().pipeline.stages}
    assert 3 == len(folders)


def test_of_the_input_nothing_can_be_missing(site: Site) -> None:
    """Where a stage reads it, the option is a mistake."""
    with pytest.raises(ConfigError, match=r"stages\.measure\.allow_missing: it reads the input, of which no stage can"):
        go(site, allow_missing=0, after=[])
