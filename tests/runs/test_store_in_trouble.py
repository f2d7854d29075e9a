"""A store that fails in the middle of a run, for real: on a small ext4 of its own (I6, I11).

Before, two rows became one line and a task was both passed and failed, or every task was a dead letter after five
attempts within seconds; a store that was unmounted was begun again, in the folder where it had been.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from driven import Finished, Site, comparable, no_double_commit
from fragile import LIKE_A_USER, TROUBLES, Fragile, fragile

TROUBLE_S = 1.5
Begin = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Fragile]:
    """What the store lies on."""
    with fragile(tmp_path) as found:
        yield found


@pytest.fixture
def small(disk: Fragile) -> Site:
    """The store. Its processes are root's, and may not do what a user may not."""
    return Site(disk.folder, within=LIKE_A_USER)


@pytest.fixture
def begin(small: Site) -> Iterator[Begin]:
    """Types the command; what still runs of it ends with the test."""
    begun: list[subprocess.Popen[str]] = []

    def start(sleep: str) -> subprocess.Popen[str]:
        begun.append(small.start("local", "--sleep", sleep))
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def wait_for(site: Site, claims: int, process: subprocess.Popen[str]) -> None:
    """Until so many attempts have begun."""
    while len(site.claims()) < claims and process.poll() is None:
        time.sleep(0.02)


def finished(site: Site, process: subprocess.Popen[str]) -> Finished:
    """The run, and the same command where it could not go on by itself; that is rare."""
    out, err = process.communicate(timeout=150)
    done = Finished(process.returncode, out, err)
    for _ in range(3):
        if done.status:
            done = site.drive("local", "--sleep", "0.05", timeout=150)
    assert 0 == done.status, done.err
    return done


def driver_of(site: Site) -> str:
    """Who drives the latest run; a command that is typed while no store is there makes one."""
    with suppress(OSError):
        return str(json.loads((site.store / "runs" / "latest" / "driver.json").read_text())["pid"])
    return ""


def endings(site: Site) -> set[str]:
    """Of all attempts, by their markers."""
    return {path.suffix for path in site.store.glob("stages/*/claims/*/[!.]*") if not path.suffix[1:].isdigit()}


def status_of(site: Site) -> str:
    """What `hpcurate status` prints."""
    words = [*LIKE_A_USER, sys.executable, "-m", "hpcurate", "status", "--store", str(site.store)]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("kind", ["full", "unmounted", "forbidden"])
def test_a_store_that_fails_for_a_moment(
    small: Site, disk: Fragile, begin: Begin, undisturbed: dict[str, str], kind: str
) -> None:
    """Nothing is corrupt, nobody is dead, no store is made in its place, and the run completes afterwards by itself."""
    process = begin("0.05")
    wait_for(small, 1, process)
    with disk.trouble(kind):
        began = time.monotonic()
        said = status_of(small) if kind == "full" else ""
        time.sleep(max(0.0, began + TROUBLE_S - time.monotonic()))
    assert kind != "full" or re.search(rf"running: {small.store}: No space left on device, 0.0 of 2\d.\d MB free", said)
    finished(small, process)
    assert undisturbed == comparable(small)
    no_double_commit(small)
    assert endings(small) <= {".store", ".free"}


def test_a_run_that_a_full_disk_ended_is_stalled(
    small: Site, disk: Fragile, begin: Begin, undisturbed: dict[str, str]
) -> None:
    """`status` says so although nobody could write it down: nothing was queued or alive, it said. Then it goes on."""
    process = begin("0.05")
    wait_for(small, 3, process)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    assert not psutil.wait_procs(workers, timeout=60)[1]  # one that removes a file would make room
    with disk.trouble("full"):
        before = (small.store / "runs" / "latest" / "summary.json").read_bytes()
        said = status_of(small)
        assert re.search(
            rf"stalled: {small.store}: No space left on device, 0.0 of 2\d.\d MB free; make room, then", said
        )
        assert before == (small.store / "runs" / "latest" / "summary.json").read_bytes()
    done = small.drive("local", "--sleep", "0.05")
    assert 0 == done.status, done.err
    assert undisturbed == comparable(small)


def test_a_call_on_a_full_disk_is_one_line(small: Site, disk: Fragile) -> None:
    """It was a traceback, from wherever the first byte was to be written. Afterwards the same command goes on."""
    words = [sys.executable, "-m", "hpcurate", "+pipeline=words", f"store={small.store}", "launcher=inline"]
    assert 0 == subprocess.run([*words, "limit=1"], capture_output=True, check=False).returncode
    with disk.trouble("full"):
        refused = subprocess.run(words, capture_output=True, text=True, check=False)
        assert (1, False) == (refused.returncode, "Traceback" in refused.stderr), refused.stderr
        assert re.search(
            rf"hpcurate: {small.store}\S*: No space left on device, 0.0 of 2\d.\d MB free; make room, then type hpcurate ",
            refused.stderr,
        )
    assert 0 == subprocess.run(words, capture_output=True, check=False).returncode


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_any_trouble_at_any_moment(
    small: Site, disk: Fragile, begin: Begin, undisturbed: dict[str, str], seed: int
) -> None:
    """Twenty moments in each run, from the first byte of its store on. Each ends as the undisturbed one."""
    dice, moments = random.Random(seed), []
    began = time.monotonic()
    while len(moments) < 20:
        before = driver_of(small)
        process = begin("0.1")
        while process.poll() is None and (
            driver_of(small) == before if before else not (small.store / "format.json").exists()
        ):
            time.sleep(0.01)
        while process.poll() is None and len(moments) < 20:
            time.sleep(dice.uniform(0, 1.5))
            kind = dice.choice(TROUBLES)
            with disk.trouble(kind):
                time.sleep(dice.uniform(0.1, 3))
            moments.append(kind)
        if process.poll() == 0:
            break
    finished(small, process)
    print(f"seed {seed}: {len(moments)} moments in {time.monotonic() - began:.0f} s: {', '.join(moments)}")
    assert undisturbed == comparable(small)
    no_double_commit(small)
    assert endings(small) <= {".store", ".free", ".dead", ".lost"}
    assert not os.path.exists(disk.behind / "top" / "stuff")
