"""Kill anything, any time: the same command finishes the rest, and the result is the same (I1, I4, I5)."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import time

import psutil
import pytest
from driven import Site, comparable, no_double_commit

from hpcurate.system.failpoints import POINTS
from hpcurate.system.processes import start_time

LOCAL = [p for p in POINTS if not p.startswith("gate")]


@pytest.mark.parametrize("point", [*LOCAL, *(f"{p}@worker" for p in ("commit.before_rename", "commit.after_rename"))])
def test_killed_at_a_failpoint(site: Site, undisturbed: dict[str, str], point: str) -> None:
    """Whoever reaches the point first dies there; the same command finishes the rest."""
    name, _, only = point.partition("@")
    marker = site.folder / "died"
    site.drive("local", failpoints=f"{name}@{marker}@{'hpcurate.worker' if only else ''}")
    assert marker.exists(), f"nobody reached {name}"
    kept = {shard: stats["nonce"] for shard, stats in site.stats().items()}
    finished = site.drive("local")
    assert finished.status == 0, finished.err
    assert comparable(site) == undisturbed
    assert {shard: stats["nonce"] for shard, stats in site.stats().items() if shard in kept} == kept
    no_double_commit(site)


def children(pid: int) -> list[int]:
    """Processes started by a process, and by those."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def victims(driver: int, kind: str) -> list[int]:
    """Processes below the driver of a kind: it starts supervisors, and these start stage processes."""
    try:
        supervisors = psutil.Process(driver).children()
        stages = [child for supervisor in supervisors for child in supervisor.children()]
    except psutil.NoSuchProcess:
        return []
    return [process.pid for process in (stages if kind == "stage process" else supervisors)]


@pytest.mark.parametrize("kind", ["stage process", "supervisor"])
def test_one_killed_while_others_work(site: Site, undisturbed: dict[str, str], kind: str) -> None:
    """One worker's death is noticed within the run; nobody has to type anything."""
    process = site.start("local", "--sleep", "0.05")
    deadline = time.monotonic() + 30
    while not (found := victims(process.pid, kind)) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)
    os.kill(found[0], signal.SIGKILL)
    assert process.wait(120) == 0
    assert comparable(site) == dict(undisturbed.items())
    no_double_commit(site)


def test_a_killed_driver_takes_its_workers_along(site: Site) -> None:
    """No worker outlives its local driver, so that a new one does not crowd the machine."""
    process = site.start("local", "--sleep", "0.1")
    while not victims(process.pid, "supervisor"):
        time.sleep(0.02)
    workers = {pid: start_time(pid) for pid in children(process.pid)}
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while any(start_time(pid) == start for pid, start in workers.items()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid, start in workers.items() if start_time(pid) == start] == []
    assert site.drive("local").status == 0


def test_killed_at_random(site: Site, undisturbed: dict[str, str]) -> None:
    """A few rounds of killing anything of ours; the seed is printed."""
    seed = int(os.environ.get("HPCURATE_SEED", time.time_ns() % 10**6))
    print(f"HPCURATE_SEED={seed}")
    chance = random.Random(seed)
    for _ in range(4):
        process = site.start("local", "--sleep", "0.02")
        time.sleep(chance.uniform(0.3, 1.5))
        alive = [process.pid, *children(process.pid)]
        for pid in chance.sample(alive, k=min(len(alive), chance.randint(1, 2))):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(chance.uniform(0, 0.5))
        process.kill()
        process.wait()
    finished = site.drive("local", "--sleep", "0.02")
    assert finished.status == 0, f"HPCURATE_SEED={seed}\n{finished.err}"
    assert comparable(site) == undisturbed
    no_double_commit(site)


def test_ctrl_c_hands_the_work_back(site: Site) -> None:
    """Shards in work are freed, which does not count against them."""
    process = site.start("local", "--sleep", "0.1")
    while not site.claims():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.wait(30)
    endings = {p.suffix for p in site.store.glob("stages/*/claims/*/*") if not p.suffix[1:].isdigit()}
    assert endings <= {".free"}
    assert site.drive("local").status == 0


def test_attempts_of_a_round_that_is_over_are_taken_up_on_any_host(site: Site, undisturbed: dict[str, str]) -> None:
    """Claims left by workers of another machine: their round is over, so they are, without waiting for a lease."""
    marker = site.folder / "died"
    site.drive("local", failpoints=f"ticket.after@{marker}")
    assert marker.exists()
    process = site.start("local", "--sleep", "0.1")
    while not site.claims():
        time.sleep(0.02)
    process.kill()
    process.wait()
    time.sleep(1)
    for path in site.store.glob("stages/*/claims/*/*"):
        text = path.read_text()
        path.chmod(0o644)
        path.write_text(re.sub(r'"host": "[^"]*"', '"host": "elsewhere boot namespace"', text))
    finished = site.drive("local")
    assert finished.status == 0, finished.err
    assert comparable(site) == undisturbed


@pytest.mark.long
@pytest.mark.parametrize("seed", range(25))
def test_killed_at_random_a_hundred_times(
    site: Site, undisturbed: dict[str, str], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The campaign: four kills a seed."""
    monkeypatch.setenv("HPCURATE_SEED", str(seed))
    test_killed_at_random(site, undisturbed)
