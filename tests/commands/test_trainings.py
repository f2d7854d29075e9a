"""A command that keeps a checkpoint and writes curves: over attempts, while it runs, and what of it is kept."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import trainer
from one_worker import Bench, bench

from hpcurate import Command, Task
from hpcurate.errors import ConfigError
from hpcurate.failures import Ending
from hpcurate.runs.work_seen import ShardInWork, with_curves
from hpcurate.store.claims import Claim
from hpcurate.store.heartbeat import AtWork
from hpcurate.store.layout import shard_id
from hpcurate.system.processes import SystemProcesses

SHARD = shard_id("0001", 0)
WORDS = ["{checkpoint}", "{metrics}", "{values}"]


def training(folder: Path, *tasks: str, steps: int = 4) -> Bench:
    """So many steps, of a program that the project does not have."""
    (folder / "trace").mkdir()
    argv = [sys.executable, "-I", os.path.abspath(trainer.__file__), *WORDS, str(steps), "0", str(folder / "trace")]
    return bench(folder, Command(argv, values={"total": "int"}), [Task(id=name) for name in tasks], len(tasks))


def logged(one: Bench) -> list[tuple[str, Any, int | None]]:
    """What its stage logged."""
    return [(row["name"], row["value"], row.get("step")) for row in one.rows("logged")]


def test_it_goes_on_where_it_was_and_so_does_its_curve(tmp_path: Path) -> None:
    """Of the step that was done twice the last value counts; what lies there is in `status` before that."""
    one = training(tmp_path, "model")
    left = Path(one.store.checkpoints.take(SHARD, 1), "model")
    left.mkdir()
    (left / "state").write_text("[2, 1]")
    lines = [{"metric": "loss", "value": value, "step": step} for step, value in [(1, 0.9), (2, 0.8), (3, 7.0)]]
    (left / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + "half a line\n")
    at = ShardInWork(worker="w", node="", at=AtWork(shard=SHARD, tasks=1, task="model"), weight=1.0)
    assert {"loss": (3, 7.0)} == with_curves(at, one.store).curves
    claims = one.store.claims
    before = Claim(shard=SHARD, attempt=1, nonce="n", worker="w", process=SystemProcesses().mine())
    claims.take(before)
    claims.end(before, Ending.FREE)
    assert one.worker().run() == 0
    assert [("loss", 0.9, 1), ("loss", 0.8, 2), ("loss", 1 / 3, 3), ("loss", 0.25, 4)] == logged(one)
    assert [{"total": 14}] == [row["values"] for row in one.rows("tasks")]
    assert not left.parent.exists()


def test_each_task_has_its_own(tmp_path: Path) -> None:
    """Also those whose ids no folder can be called by; without `{checkpoint}` the file is gone with the run."""
    one = training(tmp_path, "a/b", "..", "ü\n", "x" * 300)
    assert one.worker().run() == 0
    assert [] == one.rows("failed")
    assert 16 == len(logged(one))


def test_what_is_printed_can_be_pasted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The line in the worker's log is the command as a shell takes it."""
    one = training(tmp_path, "mo del")
    one.worker().run()
    (line,) = [line for line in capfd.readouterr().out.splitlines() if "trainer.py" in line]
    assert f"checkpoints/0001-000/{SHARD}.1/mo del' '" in line


def test_a_checkpoint_is_that_of_one_task() -> None:
    """Which tasks come together in a batch differs from attempt to attempt."""
    with pytest.raises(ConfigError, match="is that of one task"):
        Command(["train", "{tasks}", "{checkpoint}"])
