"""On a real Slurm: kill an element, a gate or the submitter at any point; the same command finishes the rest (I1, I4)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from driven import Finished, Site, comparable, no_double_commit
from slurm_fixture import SlurmSite

from hpcurate.system.failpoints import POINTS

pytestmark = pytest.mark.slurm

IN_GATE = ("ticket.after", "submit.before", "submit.after", "list.after", "gate.before_submit")
SPEC = [*POINTS, "commit.before_rename@hpcurate.worker", "commit.after_rename@hpcurate.worker"]
SPEC += [f"{point}@hpcurate.runs.gate" for point in IN_GATE]
AT_ONCE = 5
"""Of these runs: mostly they wait for Slurm."""
WAITS = ("ticket.after", "submit.before")
"""Points after which `timing.ask_s` passes until it is sure that there is no job."""


@dataclass(frozen=True)
class Killed:
    """A run in which one process died, and the same command afterwards."""

    site: Site
    died: bool
    kept: dict[str, str]
    finished: Finished


@pytest.fixture(scope="module")
def killed(
    request: pytest.FixtureRequest, slurm: SlurmSite, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Killed]]]:
    """By point, for the points that are asked for, the long ones first."""
    points = [item.callspec.params["point"] for item in request.session.items if item.fspath == request.node.fspath]
    points.sort(key=lambda point: not point.startswith(WAITS))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {point: pool.submit(kill, point, slurm, tmp_path_factory.mktemp("killed")) for point in points}
        pool.shutdown(cancel_futures=True)


def kill(point: str, slurm: SlurmSite, folder: Path) -> Killed:
    """Let somebody die at the point, wait until nothing of the run is queued, and type the command again."""
    site = Site(folder, env=dict(slurm.env))
    name, _, only = point.partition("@")
    marker = folder / "died"
    site.drive("slurm", failpoints=f"{name}@{marker}@{only}")
    await_nothing_queued(site, slurm)
    kept = nonces(site)
    return Killed(site, marker.exists(), kept, site.drive("slurm", "--wait"))


def await_nothing_queued(site: Site, slurm: SlurmSite) -> None:
    """Of the site's run; other runs use the same Slurm."""
    latest = site.store / "runs" / "latest"
    if latest.exists():
        mark = f"-{sha256(latest.resolve().name.encode()).hexdigest()[:8]}-"
        deadline = time.monotonic() + 60
        while any(mark in job["Name"] for job in slurm.squeue()) and time.monotonic() < deadline:
            time.sleep(0.2)


def nonces(site: Site) -> dict[str, str]:
    """Of every committed shard."""
    return {shard: stats["nonce"] for shard, stats in site.stats().items()}


@pytest.mark.parametrize("point", SPEC)
def test_killed_at_a_failpoint(killed: dict[str, Future[Killed]], undisturbed: dict[str, str], point: str) -> None:
    """Element, gate or submitter dies at the point; the same command finishes the rest."""
    run = killed[point].result()
    assert run.died, f"nobody reached {point}"
    assert run.finished.status == 0, run.finished.err
    assert comparable(run.site) == undisturbed
    assert run.kept.items() <= nonces(run.site).items()
    no_double_commit(run.site)
