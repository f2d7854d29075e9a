"""Killed in the middle of a tar: the same command finishes the rest, and every member is in the result once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
from checkout import ROOT
from tars import make_tar

MEMBERS = 30
"""In each tar: some shards of those that read them."""


def start(folder: Path) -> subprocess.Popen[str]:
    """The pipeline of `drive_tars.py`."""
    command = [sys.executable, str(ROOT / "tests" / "support" / "drive_tars.py"), f"{folder}/in", f"{folder}/store"]
    return subprocess.Popen(
        command, cwd=folder, stderr=subprocess.PIPE, text=True, env={**os.environ, "XDG_STATE_HOME": str(folder)}
    )


def workers(driver: int, kind: str) -> list[psutil.Process]:
    """Below the driver are supervisors, below these what runs the stages."""
    try:
        supervisors = psutil.Process(driver).children()
        return supervisors if kind == "supervisor" else [child for one in supervisors for child in one.children()]
    except psutil.NoSuchProcess:
        return []


def kill_one(driver: subprocess.Popen[str], kind: str, chance: random.Random) -> int:
    """Kill one of a kind, once there is one and some time has passed; how many were killed."""
    deadline = time.monotonic() + 20
    while not workers(driver.pid, kind) and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(chance.uniform(0, 0.4))
    for victim in workers(driver.pid, kind)[:1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
            return 1
    return 0


def test_every_member_once(tmp_path: Path) -> None:
    """Stage processes, supervisors and drivers are killed, at random; the seed is printed."""
    seed = int(os.environ.get("HPCURATE_SEED", time.time_ns() % 10**6))
    print(f"HPCURATE_SEED={seed}")
    chance, files = random.Random(seed), dict[str, bytes]()
    for number in range(2):
        data = {f"{n:02d}.bin": chance.randbytes(chance.randrange(2000)) for n in range(MEMBERS)}
        make_tar(tmp_path / "in" / f"{number}.tar", data)
        files |= {f"{number}.tar/{name}": content for name, content in data.items()}
    killed = 0
    for kind in ("stage process", "supervisor"):  # a tar with which two stage processes die is a dead letter
        process = start(tmp_path)
        killed += kill_one(process, kind, chance)
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
        process.communicate()
    last = start(tmp_path)
    _, said = last.communicate(timeout=120)
    assert last.returncode == 0, f"HPCURATE_SEED={seed}\n{said}"
    rows = [
        json.loads(line)
        for path in (tmp_path / "store" / "stages").glob("digest-*/shards/*/[!.]*/tasks.jsonl")
        for line in path.read_bytes().splitlines()
    ]
    assert set(Counter(row["source"] for row in rows).values()) == {1}, f"HPCURATE_SEED={seed}"
    assert {row["source"]: row["sha256"] for row in rows} == {
        name: hashlib.sha256(data).hexdigest() for name, data in files.items()
    }
    assert killed, f"HPCURATE_SEED={seed}: nothing was there to kill"
