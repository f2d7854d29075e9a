"""The training of the example: the same weights, however often it began again."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from shell import Shell

torch = pytest.importorskip("torch")


def test_two_processes_of_which_one_is_killed_come_to_the_same_weights(shell: Shell) -> None:
    """By torchrun, of the example: what it said goes to the log, and its curve has each step once."""
    from stages.programs.train import reference

    words = ["+pipeline=train", "params.steps=14", "params.seed=3", "params.every=4", "params.pause=0.1"]
    words += ["launcher=local", "stages.train.backoff=0.1", f"store={shell.store}"]
    with subprocess.Popen(
        [shell.python, "-m", "hpcurate", *words], cwd=shell.cwd, env=shell.environment, stdout=subprocess.DEVNULL
    ) as driver:
        while _steps(shell.store) < 6 and driver.poll() is None:
            time.sleep(0.05)
        ranks = [one for one in psutil.Process(driver.pid).children(recursive=True) if _is_rank(one)]
        ranks[0].kill()
        assert driver.wait(60) == 0
    assert len(ranks) == 2
    (path,) = shell.store.glob("stages/train-*/shards/*/[!.]*/files/*/weights.pt")
    weights, expected = torch.load(path, weights_only=True), reference(14, 3, 2)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    logs = "".join(log.read_text() for log in shell.store.glob("runs/2*/submissions/*/logs/*.log"))
    assert "begins at step 0 of 14, 2 processes" in logs
    assert re.search(r"begins at step (4|8|12) of 14, 2 processes", logs)
    status = shell.type("status", "--store", str(shell.store)).stdout
    assert "loss" in status
    logged = [json.loads(line) for line in (path.parents[2] / "logged.jsonl").read_text().splitlines()]
    assert [*range(1, 15)] == [row["step"] for row in logged]


def _steps(store: Path) -> int:
    curves = store.glob("stages/train-*/checkpoints/*/*/*/metrics.jsonl")
    return max([len(curve.read_text().splitlines()) for curve in curves], default=0)


def _is_rank(process: psutil.Process) -> bool:
    words = process.cmdline()
    return "stages.programs.train" in words and "torch.distributed.run" not in words
