"""What a stage logs beside its tasks: kept with the shard, summed up, and refused where it can be neither."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from unit_stages import Number, numbers

from hpcurate import Chain, Stage
from hpcurate.errors import StageError
from hpcurate.report.logged import described
from hpcurate.stage_process.logged import LIMITS, check_limits, entry_of
from hpcurate.store.stats import Logged, added
from hpcurate.testing import try_stage


class Says(Stage[Number, Number]):
    """Logs the square of each value at that step, then whatever it is given, and fails for negative values."""

    version = 1
    batch_size = 2

    def __init__(self, name: str = "", value: Any = None) -> None:
        self.name, self.value = name, value

    def process(self, tasks: list[Number]) -> list[Number]:
        """Log first: what a batch that fails has logged must not stay."""
        for task in tasks:
            self.log("square", task.value**2, step=task.value)
        if self.name:
            self.log(self.name, self.value)
        if any(task.value < 0 for task in tasks):
            raise ValueError("negative")
        return tasks


def logged_of(value: Any, folder: Path) -> dict[str, Any]:
    """The row of one value."""
    outcome = try_stage(Says("x", value), numbers(1), folder)
    assert not outcome.failed
    [row] = [row for row in outcome.logged if row["name"] == "x"]
    return row


def test_numbers_with_a_step_are_a_curve(tmp_path: Path) -> None:
    """Each of them a row, and summed up."""
    outcome = try_stage(Says(), numbers(3, 1, 2), tmp_path / "t")
    assert [(3, 9.0), (1, 1.0), (2, 4.0)] == [(row["step"], row["value"]) for row in outcome.logged]
    assert outcome.counts.logged == {
        "square": Logged(count=3, total=14.0, least=1.0, most=9.0, first=(1, 1.0), last=(3, 9.0))
    }


def test_a_batch_that_fails_has_logged_nothing(tmp_path: Path) -> None:
    """Its tasks are tried one by one: each that succeeds logs once."""
    outcome = try_stage(Says(), numbers(1, -2, 3), tmp_path / "t")
    assert ([1, 3], 1) == ([row["step"] for row in outcome.logged], len(outcome.failed))


def test_members_of_a_chain_have_names_of_their_own(tmp_path: Path) -> None:
    """Both log a square."""
    outcome = try_stage(Chain([Says(), Says()]), numbers(2), tmp_path / "t")
    assert ["Says-0: square", "Says-1: square"] == list(outcome.counts.logged)


@pytest.mark.parametrize("value", [3, 3.0, np.float32(3), np.array(3), np.array([3.0]), np.int64(3)])
def test_anything_that_is_one_number_is_one(value: Any, tmp_path: Path) -> None:
    """numpy's too."""
    row = logged_of(value, tmp_path / "t")
    assert ("number", 3.0) == (row["kind"], row["value"])


def test_a_number_that_is_not_finite_is_a_gap(tmp_path: Path) -> None:
    """JSON has no NaN; sums go on without it."""
    assert logged_of(math.nan, tmp_path / "t")["value"] is None
    assert "no finite number" == described(Logged.of("number", None, 3))


@pytest.mark.parametrize("value", [10**400, [{"n": 10**400}]])
def test_a_number_beyond_all_others_is_not_finite(value: Any, tmp_path: Path) -> None:
    """It ended the task in an OverflowError, or in one of the JSON that was to hold it."""
    assert logged_of(value, tmp_path / "t")["value"] in (None, [{"n": None}])


def test_a_table_keeps_what_json_can_hold(tmp_path: Path) -> None:
    """Anything else as it prints."""
    rows = [{"word": "a", "n": np.int64(2), "where": Path("x"), "share": math.inf, "none": None, 3: True}]
    row = logged_of(rows, tmp_path / "t")
    assert [{"word": "a", "n": 2.0, "where": "x", "share": None, "none": None, "3": True}] == row["value"]


def test_figures_lie_in_the_shard(tmp_path: Path) -> None:
    """A Pillow image, one of matplotlib, and the file of a picture."""
    from matplotlib.figure import Figure

    Image.new("RGB", (4, 4)).save(tmp_path / "given.PNG")
    for number, value in enumerate([Image.new("RGB", (4, 4)), Figure(figsize=(1, 1)), tmp_path / "given.PNG"]):
        folder = tmp_path / f"t{number}"
        row = logged_of(value, folder)
        assert ("figure", "logged/1.png") == (row["kind"], row["value"])
        assert (folder / "trial" / row["value"]).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("", 1, "a name has 1 to 100"),
        ("a\nb", 1, "a name has 1 to 100"),
        (5, 1, "a name has 1 to 100"),
        ("x", "text", "is not the path of a picture"),
        ("x", object(), "is neither a number, nor"),
        ("x", np.array([1, 2]), "is neither a number, nor"),
        ("x", [{}] * 10_001, "10001 rows of a table"),
    ],
)
def test_anything_else_is_refused(name: Any, value: Any, says: str) -> None:
    """With what may be logged."""
    with pytest.raises(StageError, match=says):
        entry_of("Says", name, value, None)
    for step in (1.5, 10**30):
        with pytest.raises(StageError, match=f"step={step} is no whole number"):
            entry_of("Says", "x", 1, step)


def test_a_name_is_one_kind_of_thing_and_names_are_few() -> None:
    """Else a page could not show them."""
    number, table = entry_of("Says", "x", 1, None), entry_of("Says", "x", [{}], None)
    with pytest.raises(StageError, match="was a number before, and is a table now"):
        check_limits({}, [number, table])
    with pytest.raises(StageError, match="more than 200 names"):
        check_limits({}, [entry_of("Says", f"x{n}", 1, None) for n in range(LIMITS["names"] + 1)])
    with pytest.raises(StageError, match="more than 100000 times"):
        check_limits({"x": Logged(count=LIMITS["values"])}, [number])


points = st.lists(st.tuples(st.integers(0, 5), st.integers(-9, 9)), max_size=8)


@given(points, points)
def test_sums_do_not_depend_on_how_shards_are_cut(one: list[tuple[int, int]], two: list[tuple[int, int]]) -> None:
    """Two shards are like one with all of it."""

    def summed(numbers: list[tuple[int, int]]) -> dict[str, Logged]:
        return added([{"x": Logged.of("number", float(value), step)} for step, value in numbers])

    assert added([summed(one), summed(two)]) == summed([*one, *two])


def test_it_is_described_in_a_line() -> None:
    """As `status` shows it."""
    curve = added([{"x": Logged.of("number", 2.3125, 1)}, {"x": Logged.of("number", 0.5, 500)}])["x"]
    assert "2.3125 at step 1, 0.5 at step 500" == described(curve)
    several = added([{"x": Logged.of("number", v, None)} for v in (1.0, 2.0)])["x"]
    assert "1.5 (mean of 2, 1 to 2)" == described(several)
    assert ["0.91", "a table", "3 figures"] == [
        described(one)
        for one in (Logged.of("number", 0.91, None), Logged(kind="table", count=1), Logged(kind="figure", count=3))
    ]
