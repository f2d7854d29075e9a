"""A gather that counts is told what became of the tasks in every stage above; other counts are another result."""

from __future__ import annotations

import json
from pathlib import Path

from unit_stages import Number

import hpcurate
from hpcurate import Stage
from hpcurate.planning.budget import Budget
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions


class Even(Stage[Number, Number]):
    """Passes even numbers on, fails on 13, drops the rest."""

    version = 1

    def process(self, tasks: list[Number]) -> list[Number]:
        """See above."""
        if any(task.value == 13 for task in tasks):
            raise ValueError("thirteen")
        for task in tasks:
            if task.value % 2:
                self.drop(task, "odd")
        return [task for task in tasks if task.value % 2 == 0]


class Keep(Stage[Number, Number]):
    """Passes all on."""

    version = 1

    def process(self, tasks: list[Number]) -> list[Number]:
        """The same."""
        return tasks


class DropAll(Stage[Number, Number]):
    """Passes nothing on."""

    version = 1

    def process(self, tasks: list[Number]) -> list[Number]:
        """Nothing."""
        for task in tasks:
            self.drop(task, "all")
        return []


class Count(Stage[Number, Number]):
    """Writes what it is told."""

    gather = True
    counts_upstream = True
    version = 1

    def __init__(self, output: str) -> None:
        self.output = output

    def process(self, tasks: list[Number]) -> list[Number]:
        """Append a line a call."""
        with open(self.output, "a") as file:
            sums = [(one.stage, one.tasks_in, one.tasks_out, one.dropped, one.failed) for one in self.upstream]
            file.write(json.dumps([len(tasks), *sums]) + "\n")
        return tasks


def test_the_counts_are_told_and_grow(tmp_path: Path) -> None:
    """Through a stage between; an input that fails or is dropped changes them, though no other task comes in."""
    out = tmp_path / "out"
    small = StageOptions(resources={"memory": "100MB"}, shard_tasks=2)

    def run(*values: int) -> list[object]:
        steps: dict[str, Step] = {
            "even": Step(Even(), small),
            "keep": Step(Keep(), small),
            "count": Step(Count(str(out)), small),
        }
        tasks = [Number(id=str(value), value=value) for value in values]
        done = hpcurate.run(steps, tasks, store=tmp_path / "s", launcher="inline", budget=Budget(failed=9))
        assert done.summary["state"] == "complete"
        return [json.loads(line) for line in out.read_text().splitlines()]

    first = [2, ["even", 4, 2, 2, 0], ["keep", 2, 2, 0, 0]]
    assert run(1, 2, 3, 4) == [first]
    assert run(1, 2, 3, 4) == [first]
    assert run(1, 2, 3, 4, 13, 5) == [first, [2, ["even", 6, 2, 3, 1], ["keep", 2, 2, 0, 0]]]


def test_a_stage_above_two_branches_is_counted_once(tmp_path: Path) -> None:
    """In the order of the pipeline, whatever the order of the upstreams."""
    out = tmp_path / "out"
    small = {"memory": "100MB"}
    hpcurate.run(
        {
            "even": Step(Even(), StageOptions(resources=small)),
            "left": Step(Keep(), StageOptions(resources=small, after=["even"])),
            "right": Step(DropAll(), StageOptions(resources=small, after=["even"])),
            "count": Step(Count(str(out)), StageOptions(resources=small, after=["right", "left"])),
        },
        [Number(id=str(value), value=value) for value in (1, 2)],
        store=tmp_path / "s",
        launcher="inline",
    )
    assert [name for name, *_ in json.loads(out.read_text())[1:]] == ["even", "left", "right"]
