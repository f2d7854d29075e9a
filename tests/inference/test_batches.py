"""A stage over batches: loads each task once, infers once per batch, and says what does not fit."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from engine_stages import Number
from inference_stages import Again, Lengths, Square, Squared

import hpcurate
from hpcurate import Chain
from hpcurate.errors import PipelineError
from hpcurate.inference import BatchInference, LoaderInference
from hpcurate.runs.state import RunState
from hpcurate.source import Files
from hpcurate.testing import try_stage


def numbers(*values: int) -> list[Number]:
    """A task for each."""
    return [Number(id=f"n{value}", value=value) for value in values]


def values_of(tasks: list[Squared]) -> list[tuple[int, int]]:
    """Number and square."""
    return [(task.value, task.square) for task in tasks]


def test_each_task_is_loaded_once_and_each_batch_inferred_once(tmp_path: Path) -> None:
    """Ten tasks in batches of four: 4, 4, 2."""
    notes = tmp_path / "notes"
    outcome = try_stage(Square(str(notes)), numbers(*range(10)), tmp_path / "trial")
    said = notes.read_text().splitlines()
    assert [(n, n * n) for n in range(10)] == values_of(outcome.tasks)
    assert {f"load {n}": 1 for n in range(10)} == Counter(line for line in said if "load" in line)
    assert ["inference 4", "inference 4", "inference 2"] == [line for line in said if "inference" in line]


def test_of_ten_of_which_nine_are_done_one_is_loaded(tmp_path: Path) -> None:
    """When the input grows, only what is new is loaded and inferred."""
    notes, folder = tmp_path / "notes", tmp_path / "texts"
    folder.mkdir()
    for count in (9, 10):
        notes.write_text("")
        for n in range(count):
            if not (folder / f"{n}.txt").exists():
                (folder / f"{n}.txt").write_text("x" * n)
        outcome = hpcurate.run(
            [Lengths(str(notes))], Files(folder, extensions=["txt"]), store=tmp_path / "store", launcher="inline"
        )
        assert RunState.COMPLETE == outcome.state
    assert ["load 9.txt", "inference 1"] == notes.read_text().splitlines()


def test_a_task_that_cannot_be_loaded_fails_alone(tmp_path: Path) -> None:
    """Its dead letter has what `load` raised."""
    outcome = try_stage(Square(), numbers(1, 13, 2, 100), tmp_path / "trial")
    assert [(1, 1), (2, 4)] == values_of(outcome.tasks)
    assert [("n13", "ValueError")] == [(row["id"], row["error"]) for row in outcome.failed]
    assert [("n100", "large")] == [(row["id"], row["reason"]) for row in outcome.dropped]


def test_a_wrong_number_of_results_names_the_tasks(tmp_path: Path) -> None:
    """In the dead letter of each: where one result is missing nobody can tell whose."""
    outcome = try_stage(Square(short=1), numbers(1, 2), tmp_path / "trial")
    assert "what inference() returned, ['square'], has 0 results for 1 task ('n2')" in outcome.failed[1]["message"]
    assert [] == outcome.tasks


def test_later_members_of_a_chain_load_what_they_need(tmp_path: Path) -> None:
    """`prepare` of the first alone runs ahead."""
    outcome = try_stage(Chain([Square(), Again()]), numbers(2, 3, 100), tmp_path / "trial")
    assert [(2, 16), (3, 81)] == values_of(outcome.tasks)


def load(self: Any, task: Any) -> dict[str, Any]:
    """Defined somewhere."""
    return {}


ALL = {"load": load, "inference": load, "postprocess_each": load}


@pytest.mark.parametrize(
    ("defined", "said"),
    [
        ({}, "Mine does not define load(), inference()"),
        ({"load": load}, "Mine does not define inference()"),
        ({"load": load, "inference": load}, "Mine defines neither postprocess() nor postprocess_each(); define one"),
        ({**ALL, "postprocess": load}, "Mine defines both postprocess() and postprocess_each(); define one"),
        ({**ALL, "collate": {"x": "stak"}}, "Mine: collate['x']='stak'; did you mean 'stack'?"),
        ({**ALL, "collate": {"x": "list"}, "fill": {"x": 1}}, "Mine: fill['x'] is set, and collate['x'] is not 'pad'"),
    ],
)
def test_a_class_that_lacks_something_is_refused_when_it_is_made(defined: dict[str, Any], said: str) -> None:
    """In the driver, before anything starts."""
    mine = type("Mine", (BatchInference,), defined)
    with pytest.raises(PipelineError) as caught:
        mine()
    assert said in str(caught.value)


def test_a_loader_stage_needs_a_dataset() -> None:
    """Instead of load()."""
    with pytest.raises(PipelineError, match=r"Mine does not define dataset\(\)"):
        type("Mine", (LoaderInference,), {"inference": load, "postprocess": load})()


def test_a_setup_that_forgets_the_base_is_told(tmp_path: Path) -> None:
    """Or the network and its inputs would be on different devices."""

    def forgets(self: Any, worker: object) -> None:
        """Nothing."""

    stage = type("Forgets", (Square,), {"setup": forgets})()
    outcome = try_stage(stage, numbers(1), tmp_path / "trial")
    assert "call super().setup(worker) at the start of its setup()" in outcome.failed[0]["message"]
