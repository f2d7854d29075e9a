"""On a real Slurm: how often its clients are called, and what its controller is asked. Calls are counted, not times."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_stages import Double, Number
from slurm_fixture import SlurmSite

import hpcurate
from benchmarks.slurm_calls import CountedClients, counted, requests, reset_requests
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.runs.cancel import cancel
from hpcurate.runs.folder import Run

pytestmark = pytest.mark.slurm
NEEDS = {"memory": "200MB", "time": "5m"}
CALL = {"scontrol": 2, "sinfo": 1, "sacctmgr": 2, "sbatch": 4}
"""Of a call: what the site is, what the user may queue, whether it takes such jobs, an array and its gate."""
GATE = {"squeue": 1, "sacct": 1, "sacctmgr": 2, "scontrol": 2, "sbatch": 2}
"""How its jobs ended, what the user may queue now, the site's limits, the next array and its gate."""
LAST_GATE = {"squeue": 1, "sacct": 1}

REQUESTS = {"REQUEST_SUBMIT_BATCH_JOB": 4, "REQUEST_JOB_WILL_RUN": 2, "REQUEST_JOB_INFO_SINGLE": 2}
"""To the controller: for the jobs, whether it would take them, and how they ended."""


@pytest.fixture
def clients(slurm: SlurmSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CountedClients]:
    """Each call of a client is counted meanwhile, also in jobs."""
    monkeypatch.setenv("SLURM_CONF", slurm.env["SLURM_CONF"])
    slurm.wait_idle(60)  # what other tests have left is not counted
    with counted(tmp_path / "clients") as found:
        yield found


def start(store: Path, shards: int, *stages: str, sleep_s: float = 0.0, abreast: bool = False) -> hpcurate.Outcome:
    """A run of so many shards in each stage, two workers; returns as soon as it is submitted."""
    options = StageOptions(shard_tasks=1, workers=2, resources=NEEDS, after=[] if abreast else None)
    steps = {name: Step(Double(sleep_s), options) for name in stages}
    tasks = [Number(id=f"n{k}", value=10 * k + 1) for k in range(shards)]
    return hpcurate.run(steps, tasks, store=store, launcher="slurm", wait=False)


def await_end(run: Run) -> None:
    """Return once its last gate has written the end."""
    deadline = time.monotonic() + 90
    while '"running"' in Path(run.path, "summary.json").read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert '"complete"' in Path(run.path, "summary.json").read_text()


@pytest.mark.parametrize("shards", [2, 40])
def test_calls_do_not_depend_on_the_number_of_shards(
    slurm: SlurmSite, tmp_path: Path, clients: CountedClients, shards: int
) -> None:
    """Exactly these of a call, of a gate between two stages, and of the last one; and so many requests."""
    reset_requests()
    await_end(start(tmp_path / "store", shards, "one", "two").run)
    seen, asked = clients.by_caller(), requests()
    slurm.wait_idle(30)
    gates = Counter(GATE) + Counter(LAST_GATE)
    expected = {("call", name): count for name, count in CALL.items()}
    expected |= {("gate", name): count for name, count in gates.items()}
    assert expected == seen
    assert REQUESTS == {name: asked[name] for name in REQUESTS}


def test_a_call_that_stays_asks_as_seldom_as_it_may(tmp_path: Path, clients: CountedClients) -> None:
    """Before, it asked about the gate at each of its looks, every two seconds."""
    options = StageOptions(shard_tasks=1, workers=2, resources=NEEDS)
    tasks = [Number(id=f"n{k}", value=10 * k + 1) for k in range(8)]
    outcome = hpcurate.run(
        {"slow": Step(Double(1.5), options)}, tasks, store=tmp_path / "store", launcher="slurm", wait=True
    )
    assert "complete" == outcome.state.value
    asked = [call.arguments for call in clients.calls() if (call.who, call.client) == ("call", "squeue")]
    assert [] == [words for words in asked if "-t all" not in words]
    assert len(asked) <= 1, "how its jobs ended"


def test_a_cancel_is_one_scancel(slurm: SlurmSite, tmp_path: Path, clients: CountedClients) -> None:
    """Of two arrays and their gates: all ids in one call."""
    outcome = start(tmp_path / "store", 4, "one", "two", sleep_s=30.0, abreast=True)
    queued = {row["JobID"].partition("_")[0] for row in slurm.squeue()}
    assert 4 == len(queued)
    said = cancel(outcome.run)
    assert ["one", "two"] == sorted(line.partition(":")[0] for line in said)
    [scancel] = [call.arguments for call in clients.calls() if call.client == "scancel"]
    assert queued == set(scancel.split())
    slurm.wait_idle(30)
