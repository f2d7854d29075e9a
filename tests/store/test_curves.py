"""The file to which a program adds its metrics: over attempts, half written, hostile, long."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

from hpcurate.store.curves import NAMES, POINTS, latest_values, numbered, read_curves


def written(folder: Path, *lines: object) -> str:
    """A file of these lines: text as it is, anything else as JSON."""
    path = folder / "metrics.jsonl"
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return str(path)


def at(step: int | None, value: float, metric: str = "loss") -> dict[str, object]:
    """One value."""
    return {"metric": metric, "value": value} | ({} if step is None else {"step": step})


def test_of_a_step_that_was_done_twice_the_last_counts(tmp_path: Path) -> None:
    """An attempt goes on at its checkpoint, which is before the last line of the one that was killed."""
    path = written(tmp_path, at(1, 0.9), at(2, 0.8), at(3, 0.7), at(2, 0.81), at(None, 7, "seed"))
    assert [("seed", 7.0, None), ("loss", 0.9, 1), ("loss", 0.81, 2), ("loss", 0.7, 3)] == list(
        numbered(read_curves(path))
    )
    assert {"loss": (2, 0.81), "seed": (None, 7.0)} == latest_values(path)


def test_lines_that_are_none_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    """They end nothing: a training of three days does not fail for its curve."""
    bad = ['{"metric": "lo', "[]", "1", at(1, 2.0, "a\nb"), {"metric": "x", "value": "1"}, at(0.5, 1.0), "[" * 5000]  # type: ignore[arg-type]
    found = read_curves(written(tmp_path, at(1, 0.9), *bad, at(2, math.nan), {**at(3, 1), "step": 3.0}))
    assert found.bad >= len(bad)
    assert found.first_bad.startswith("line 2: expected {")
    assert [1, 2, 3] == list(found.points["loss"])


def test_a_long_curve_becomes_coarser_and_there_are_not_too_many(tmp_path: Path) -> None:
    """What a stage may log has limits, which would have made a dead letter of it."""
    lines = [at(step, step) for step in range(POINTS * 3)] + [at(1, 1, f"m{n}") for n in range(NAMES + 5)]
    found = read_curves(written(tmp_path, *lines))
    assert POINTS / 2 <= len(found.points["loss"]) <= POINTS
    assert found.latest()["loss"] == (POINTS * 3 - 1, POINTS * 3 - 1)
    assert NAMES == len(found.points)


def test_what_is_no_file_is_nothing(tmp_path: Path) -> None:
    """A pipe would be waited for."""
    os.mkfifo(tmp_path / "pipe")
    assert {} == latest_values(str(tmp_path / "pipe")) == latest_values(str(tmp_path / "none"))
    assert 0 == len(read_curves(str(tmp_path / "pipe")).points)
