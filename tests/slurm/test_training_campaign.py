"""The example `train` on a real Slurm, killed at random and preempted: the weights of one that nobody disturbed."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from checkout import ROOT
from slurm_fixture import SlurmSite

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.slurm, pytest.mark.long]

STEPS, SEED = 200, 5
VICTIMS = ("program", "rank", "stage process", "worker")
RUN = [
    "+pipeline=train", "launcher=slurm", "wait=true", f"params.steps={STEPS}", f"params.seed={SEED}",
    "params.pause=0.1", "timing.heartbeat_s=1", "timing.lease_s=15", "timing.listing_s=1", "timing.drain_s=20",
    "stages.train.resources.memory=3GB", "stages.train.sbatch.partition=low", "stages.train.sbatch.requeue=true",
]  # fmt: skip


def chosen(victim: str, store: str) -> psutil.Process | None:
    """One of that kind that works on the store now."""
    ranks, launchers = [], []
    for one in psutil.process_iter(["cmdline"]):
        words = one.info["cmdline"] or []
        if any(store in word for word in words) and "stages.programs.train" in words and "srun" not in words[0]:
            (launchers if "torch.distributed.run" in words else ranks).append(one)
    if not ranks or not launchers:
        return None
    launcher = random.choice(launchers)
    if victim == "rank":
        return random.choice(ranks)
    if victim == "program":
        return launcher
    with suppress(psutil.NoSuchProcess):
        above = launcher.parents()
        workers = [one for one in above if "hpcurate.worker" in one.cmdline()]
        if not workers:  # below a slurmstepd of another node
            sruns = [one for one in psutil.process_iter(["cmdline"]) if (one.info["cmdline"] or [""])[0] == "srun"]
            workers = [one for s in sruns for one in s.parents() if "hpcurate.worker" in one.cmdline()]
        return workers[0] if victim == "stage process" else workers[-1]
    return None


def reached(store: Path) -> int:
    """Steps that were kept."""
    logs = "".join(path.read_text(errors="replace") for path in store.glob("runs/*/submissions/*/logs/*.log"))
    return max([int(step) for step in re.findall(r"begins at step (\d+) of", logs)], default=-1)


def steps_now(store: Path) -> int:
    """The last line of the curve."""
    lines = [
        line
        for path in store.glob("stages/train-*/checkpoints/*/*/*/metrics.jsonl")
        for line in path.read_text().splitlines()
    ]
    return max([int(step) for step in re.findall(r'"step": (\d+)', "".join(lines))], default=0)


@pytest.fixture
def driver(tmp_path: Path, slurm: SlurmSite, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """`hpcurate +pipeline=train`, which stays."""
    words = [sys.executable, "-m", "hpcurate", *RUN, f"store={tmp_path / 'store'}", *request.param]
    environment = {**os.environ, **slurm.env, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as made:
        yield made
        made.kill()


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "driver",
    [["params.processes=2"], ["params.processes=1", "stages.train.resources.nodes=2"]],
    indirect=True,
    ids=["one node", "two nodes"],
)
def test_killed_three_times_and_preempted_it_comes_to_the_same_weights(
    driver: subprocess.Popen[str], tmp_path: Path, slurm: SlurmSite
) -> None:
    """Whatever is killed: the program, one rank, the stage process, the worker; then another job takes its nodes."""
    from stages.programs.train import reference

    store, killed = tmp_path / "store", []
    victims = random.sample(VICTIMS, 3)
    print(victims)
    for number, victim in enumerate(victims, start=1):
        assert _until(lambda number=number: steps_now(store) >= 20 * number + 3, driver), _said(driver, store)  # type: ignore[misc]
        process = chosen(victim, str(store))
        assert process is not None, victim
        killed.append((victim, steps_now(store)))
        process.kill()
        began = reached(store)
        assert _until(lambda began=began: reached(store) > began, driver), (killed, _said(driver, store))  # type: ignore[misc]
    assert _until(lambda: steps_now(store) >= 100, driver), _said(driver, store)
    began = reached(store)
    slurm.run("sbatch", "-p", "high", "-N4", "--exclusive", "--output=/dev/null", "--wrap", "sleep 3")
    assert _until(lambda: reached(store) > began, driver), (killed, _said(driver, store))
    out, _ = driver.communicate(timeout=300)
    print(killed, out)
    assert driver.returncode == 0, out
    (path,) = store.glob("stages/train-*/shards/*/[!.]*/files/*/weights.pt")
    weights, expected = torch.load(path, weights_only=True), reference(STEPS, SEED, 2)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert not list(store.glob("stages/train-*/checkpoints/*/*"))


def _until(done: object, driver: subprocess.Popen[str], seconds: float = 150) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and driver.poll() is None:
        if done():  # type: ignore[operator]
            return True
        time.sleep(0.1)
    return False


def _said(driver: subprocess.Popen[str], store: Path) -> str:
    driver.kill()
    logs = [path.read_text(errors="replace")[-4000:] for path in store.glob("runs/*/submissions/*/logs/*.log")]
    return "\n".join([driver.communicate()[0], *logs])
