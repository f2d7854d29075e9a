"""What tasks amount to is added up: what came in is what went out, was lost, was left out, or failed."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcurate import Chain, Stage, Task
from hpcurate.stage_process.output import MOST_REASONS, OTHER_REASONS
from hpcurate.stage_process.scope import LONGEST_REASON
from hpcurate.store.stats import NOT_RETURNED, LeftOut
from hpcurate.testing import Outcome, try_stage


@attrs.define(kw_only=True)
class Footage(Task):
    """So many seconds."""

    seconds: float

    def amounts(self) -> dict[str, float]:
        """These."""
        return {"seconds": self.seconds}


class Does(Stage[Footage, Footage]):
    """To each task, by its number, what `fates` says."""

    version = 1

    def __init__(self, fates: list[str], mark: str = "") -> None:
        self.fates, self.mark = fates, mark

    def process(self, tasks: list[Footage]) -> list[Footage]:
        """In order."""
        return [made for n, task in enumerate(tasks) for made in self._one(task, len(task.id) + n)]

    def _one(self, task: Footage, n: int) -> list[Footage]:
        fate, half = self.fates[n % len(self.fates)], task.seconds / 2
        if fate == "fail":
            raise ValueError("no")
        if fate in ("shorten", "shorten and drop"):
            self.left_out(task, "the second half", seconds=half)
        if fate in ("drop", "shorten and drop"):
            self.drop(task, "dark", value=task.seconds, threshold=1, measure="seconds")
        if fate == "shorten":
            task.seconds = half
        if fate == "split":
            return [self.child(task, Footage, id=f"{task.id}{self.mark}{k}", seconds=half) for k in "ab"]
        return [task] if fate in ("keep", "shorten") else []


FATES = ("keep", "drop", "forget", "fail", "split", "shorten", "shorten and drop")
plans = st.lists(st.lists(st.sampled_from(FATES), min_size=1, max_size=4), min_size=1, max_size=3)


def footage(count: int) -> list[Footage]:
    """Ids of different lengths."""
    return [Footage(id="i" * (n + 1), seconds=float(2**n)) for n in range(count)]


def outcome_of(stage: Stage[Any, Any], tasks: list[Any], batch_size: int = -1) -> Outcome:
    """Of a trial in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        return try_stage(stage, tasks, Path(folder) / "t", batch_size=batch_size)


@settings(max_examples=40, deadline=None)
@given(plans, st.integers(0, 6), st.integers(0, 4))
def test_what_came_in_went_out_or_has_a_reason(plan: list[list[str]], count: int, batch_size: int) -> None:
    """Before, footage vanished uncounted: only tasks were counted, and a stage that shortens them loses none."""
    stages = [Does(fates, mark="xyz"[n]) for n, fates in enumerate(plan)]
    counts = outcome_of(stages[0] if len(stages) == 1 else Chain(list(stages)), footage(count), batch_size).counts
    ends = [counts.amounts_out, counts.amounts_failed, *counts.lost.values()]
    ends += [left.amounts for left in counts.left_out.values()]
    total = counts.amounts_in.get("seconds", 0.0)
    assert (2**count - 1, total) == pytest.approx((total, sum(end.get("seconds", 0.0) for end in ends)))
    assert counts.lost.keys() == counts.reasons.keys()


def test_rows_say_what_was_measured_and_what_was_left_out() -> None:
    """The value and its threshold; a row where something was left out of a task that goes on."""
    with tempfile.TemporaryDirectory() as folder:
        found = try_stage(Does(["keep", "shorten", "keep", "drop"]), footage(2), Path(folder) / "t", batch_size=2)
        rows = [json.loads(row) for row in (found.folder / "left_out.jsonl").read_text().splitlines()]
    (dropped,) = found.dropped
    assert {"value": 2.0, "threshold": 1.0, "measure": "seconds"}.items() <= dropped.items()
    assert [("i", "Does", "the second half", 1, {"seconds": 0.5})] == [
        (row["id"], row["stage"], row["reason"], row["count"], row["amounts"]) for row in rows
    ]
    assert {"the second half": LeftOut(1, {"seconds": 0.5})} == found.counts.left_out


@attrs.define(kw_only=True)
class Says(Task):
    """Amounts that are none."""

    what: str

    def amounts(self) -> dict[str, float]:
        """As told."""
        if self.what == "raises":
            raise SystemExit("hostile")
        said: Any = {"text": {"s": "many"}, "nan": {"s": float("nan")}, "none": None, "key": {1: 2}}
        return said[self.what] if self.what != "more" else {str(n): 1 for n in range(99)}


class Drops(Stage[Says, Says]):
    """All of them, each for a reason of its own; with values that nobody can write down."""

    version = 1

    def process(self, tasks: list[Says]) -> list[Says]:
        """None is left."""

        class Unwritable:
            def __str__(self) -> str:
                raise ValueError("no words")

            __float__ = __str__

        for task in tasks:
            self.drop(task, f"reason of {task.id}", value=Unwritable(), threshold=float("nan"))
        return []


@pytest.mark.parametrize("what", ["raises", "text", "nan", "none", "key", "more"])
def test_amounts_that_are_none_cost_no_task(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They are not counted, and the log says so once; the tasks end as they do without them (I6)."""
    from hpcurate.stage_process import amounts

    amounts._wrong.clear()
    found = outcome_of(Drops(), [Says(id=str(n), what=what) for n in range(2)])
    assert (2, 0, {}, {}) == (found.counts.dropped, found.counts.failed, found.counts.amounts_in, found.counts.lost)
    assert 1 == capsys.readouterr().out.count("Says.amounts(): ")
    assert ["a Unwritable", "nan"] * 2 == [row[key] for row in found.dropped for key in ("value", "threshold")]


def test_a_reason_is_short() -> None:
    """It stands in every report; a traceback in it does not."""
    (row,) = outcome_of(Drops(), [Says(id="i" * 5000, what="nan")]).dropped
    assert LONGEST_REASON == len(row["reason"])


def test_a_stage_with_a_reason_for_each_task_is_counted_within_bounds() -> None:
    """Its rows have them in full; `stats.json` and what is read of it do not grow with the tasks."""
    count = MOST_REASONS + 7
    found = outcome_of(Drops(), [Says(id=str(n), what="nan") for n in range(count)])
    assert (count, MOST_REASONS + 1, 7) == (
        len({row["reason"] for row in found.dropped}), len(found.counts.reasons), found.counts.reasons[OTHER_REASONS],
    )  # fmt: skip


class LeavesOut(Stage[Footage, Footage]):
    """What it cannot say."""

    version = 1

    def __init__(self, count: Any = 1, seconds: Any = 1.0) -> None:
        self.count, self.seconds = count, seconds

    def process(self, tasks: list[Footage]) -> list[Footage]:
        """All of them."""
        for task in tasks:
            self.left_out(task, "odd", self.count, seconds=self.seconds)
        return tasks


@pytest.mark.parametrize("wrong", [{"count": 1.5}, {"seconds": "long"}, {"seconds": float("inf")}])
def test_what_cannot_be_added_up_is_refused_by_name(wrong: dict[str, Any]) -> None:
    """The stage said it, so it is the stage's error, at the call."""
    (row,) = outcome_of(LeavesOut(**wrong), footage(1)).failed
    assert ("StageError", True) == (row["error"], row["message"].startswith("LeavesOut: left_out(…): "))


def test_a_task_that_is_not_returned_is_lost_by_that_name() -> None:
    """Nobody meant it."""
    assert {NOT_RETURNED: {"seconds": 1.0}} == outcome_of(Does(["forget"]), footage(1)).counts.lost
