"""What stages logged, as verbs and the page read it: of a stage that another run made, too."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from unit_stages import Number, numbers

import hpcurate
from hpcurate import Stage
from hpcurate.cli.verbs.compare import compare_lines
from hpcurate.cli.verbs.status import logged_lines, status_lines
from hpcurate.report.comparison import compare
from hpcurate.report.logged import results_of
from hpcurate.report.run_view import RunView
from hpcurate.report.status import status_of
from hpcurate.store.stats import Logged


class Trains(Stage[Number, Number]):
    """A curve, a table and a figure."""

    version = 1
    batch_size = 0

    def process(self, tasks: list[Number]) -> list[Number]:
        """The loss falls with each step."""
        for step in range(4):
            self.log("loss", 2.0 / (step + len(tasks)), step=step)
        self.log("words", [{"word": task.id, "n": task.value} for task in tasks])
        path = Path(self.file(tasks[0], "dot.svg"))
        path.write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
        self.log("dot", path)
        return tasks


class Plus(Stage[Number, Number]):
    """Logs what it adds."""

    version = 1

    def __init__(self, by: int) -> None:
        self.by = by

    def process(self, tasks: list[Number]) -> list[Number]:
        """Only the log differs."""
        self.log("by", self.by)
        return tasks


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[RunView]:
    """Two runs; the second finds the first stage done and skips it."""
    store = tmp_path_factory.mktemp("logged") / "store"
    return [
        RunView(hpcurate.run({"train": Trains(), "plus": Plus(by)}, numbers(1, 2), store=store, launcher="inline").run)
        for by in (1, 2)
    ]


def test_a_stage_that_was_skipped_shows_what_it_logged(runs: list[RunView]) -> None:
    """It is kept with the stage's shards, whoever made them."""
    for view in runs:
        lines = status_lines(status_of(view))
        assert "  train: loss: 1 at step 0, 0.4 at step 3" in lines
        assert "  train: words: a table" in lines
        results = results_of(view, view.planned[0])
        assert [(0, 1.0), (3, 0.4)] == [results.curves["loss"][0], results.curves["loss"][-1]]
        assert [{"word": "n1", "n": 1}, {"word": "n2", "n": 2}] == results.tables["words"]
        assert results.figures["dot"][0].read_text().startswith("<svg")


def test_compare_shows_it_side_by_side(runs: list[RunView]) -> None:
    """What is the same, once."""
    lines = compare_lines("a", "b", compare(runs[0].run, runs[1].run, {}))
    assert "  train: loss: 1 at step 0, 0.4 at step 3" in lines
    assert any(line.startswith("  plus: by: 1") and "→ 2" in line for line in lines)


def test_status_shows_the_first_of_many_names(runs: list[RunView]) -> None:
    """200 lines of them pushed the stages off the screen."""
    report = runs[0].look()
    many = {f"n{number:03d}": Logged.of("number", 1.0, None) for number in range(200)}
    stages = {name: msgspec.structs.replace(stage, logged=many) for name, stage in report.stages.items()}
    lines = logged_lines(msgspec.structs.replace(report, stages=stages))
    assert 2 + 2 * 11 == len(lines)
    assert "  plus: and 190 more names; --json lists all" == lines[-1]
