"""`needs`: a stage begins when others are complete, of which it reads nothing."""

from __future__ import annotations

import json
from pathlib import Path

from unit_stages import Growing, Number

import hpcurate
from hpcurate import Stage
from hpcurate.planning.budget import Budget
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.runs.folder import Run
from hpcurate.runs.looking import RunLooker
from launchers.inline import InlineLauncher

SMALL = {"memory": "100MB"}


class Writes(Stage[Number, Number]):
    """Appends a line to a file for each task."""

    version = 1

    def __init__(self, file: str, word: str) -> None:
        self.file, self.word = file, word

    def process(self, tasks: list[Number]) -> list[Number]:
        """The same tasks; fails on 13."""
        with open(self.file, "a") as file:
            for task in tasks:
                file.write(f"{self.word}\n")
                if task.value == 13:
                    raise ValueError("thirteen")
        return tasks


def test_a_stage_waits_for_what_it_needs(tmp_path: Path) -> None:
    """Three branches over the same input: the one that needs both others begins last, and again when they have grown.

    What grows is worked on once; the input is not called lost while a stage that reads it waits for another.
    """
    order = tmp_path / "order"

    def run(*values: int) -> hpcurate.OpenRun:
        branch = {"resources": SMALL, "after": [], "shard_tasks": 1}
        steps = {
            "last": Step(Writes(str(order), "last"), StageOptions(**branch, needs=["left", "right"])),
            "left": Step(Writes(str(order), "left"), StageOptions(**branch)),
            "right": Step(Writes(str(order), "right"), StageOptions(**branch)),
        }
        return hpcurate.run(steps, Growing(values), store=tmp_path / "s", launcher="inline", budget=Budget(failed=9))

    done = run(1, 2)
    assert "complete" == done.summary["state"]
    first = order.read_text().split()
    assert (["last", "last"], ["left", "left", "right", "right"]) == (first[4:], sorted(first[:4]))
    grown = run(1, 2, 3)
    assert grown.run.name == done.run.name
    assert ["left", "right", "last"] == order.read_text().split()[6:]
    (shard,) = (tmp_path / "s" / "stages").glob("left-*/shards/*/0001-000000")
    shard.rename(tmp_path / "purged")
    looker = RunLooker(Run.at(grown.run.path), InlineLauncher())
    view = {one.name: one for one in looker.observer.look()}["last"]
    assert (False, "") == (view.ready, view.blocked)
    assert not json.loads((Path(grown.run.path) / "pipeline.json").read_text())["pipeline"]["stages"][-1]["after"]
