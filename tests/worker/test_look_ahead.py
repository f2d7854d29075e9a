"""Looking ahead across the end of a shard: whatever happens meanwhile, the result is the same and nothing stays open."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ahead_stages import KILLS, ODD, PER_SHARD, SHARDS, UNSET
from checkout import ROOT
from engine_stages import CountsFrozen, Number

import hpcurate
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions

PROGRAM = ROOT / "tests" / "support" / "ahead_stages.py"


def start(folder: Path, what: str = "", *options: str, shards: int = SHARDS) -> subprocess.Popen[str]:
    """Start a run with its own store."""
    words = [str(folder / "store"), what, str(folder / "notes"), str(shards), *options]
    path = os.pathsep.join([str(ROOT), str(PROGRAM.parent)])
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


def rows(folder: Path, kind: str = "tasks") -> list[dict[str, Any]]:
    """Rows of all committed shards of the stage."""
    paths = sorted((folder / "store" / "stages").glob(f"ahead-*/shards/*/[!.]*/{kind}.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def stats(folder: Path) -> list[dict[str, Any]]:
    """`stats.json` of each."""
    return [json.loads(p.read_text()) for p in (folder / "store" / "stages").glob("ahead-*/shards/*/[!.]*/stats.json")]


def claims(folder: Path) -> dict[str, dict[str, Any]]:
    """Name → content of claims, and of the markers beside them."""
    found = (folder / "store" / "stages").glob("ahead-*/claims/*/[!.]*")
    return {path.name: json.loads(path.read_text()) for path in found if not path.name.endswith(".task")}


def undisturbed(shards: int = SHARDS) -> list[dict[str, Any]]:
    """Rows of a run to which nothing happened."""
    return [
        {"id": f"i{n:04d}", "parents": [], "weight": 1.0, "value": n, "prepared": str(n)}
        for n in range(PER_SHARD * shards)
    ]


def test_stage_processes_killed_while_they_look_ahead(tmp_path: Path) -> None:
    """kill -9, twenty times, at random moments: the same rows, no dead letter, and both shards of each were ended."""
    process = start(tmp_path, "kill")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err + out
    assert undisturbed() == rows(tmp_path)
    assert [] == rows(tmp_path, "failed")
    assert len((tmp_path / "notes").read_text()) >= KILLS
    markers = [content for name, content in claims(tmp_path).items() if name.endswith(".crash")]
    assert len(markers) >= KILLS // 2  # a kill may come between two shards
    assert any(marker["shared"] for marker in markers)
    assert any(claim.get("ahead") for claim in claims(tmp_path).values())


def test_a_worker_that_drains_hands_back_what_it_holds(tmp_path: Path) -> None:
    """It ends by itself: then no claim of it is open. What it held was begun by nobody, or finished."""
    process = start(tmp_path, "look", shards=20)
    deadline = time.monotonic() + 30
    while not ((tmp_path / "notes").exists() and stats(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    found, done = claims(tmp_path), {one["shard"]: one["attempt"] for one in stats(tmp_path)}
    attempts = [name for name in found if name.rpartition(".")[2].isdigit()]
    ended = {name.rpartition(".")[0] for name in found if not name.rpartition(".")[2].isdigit()}
    committed = {f"{shard}.{attempt}" for shard, attempt in done.items()}
    assert set(attempts) == ended | committed
    assert not list((tmp_path / "store" / "stages").glob("ahead-*/shards/*/.*"))
    again = start(tmp_path, "look", shards=20)
    again.communicate(timeout=60)
    plans = [json.loads(path.read_text()) for path in (tmp_path / "store" / "runs").glob("*/submissions/*/plan.json")]
    assert any(plan["seconds_per_weight"] > 0 for plan in plans)  # of what was done before
    assert undisturbed(20) == rows(tmp_path)


def test_a_stage_process_that_stands_still_while_it_looks_ahead(tmp_path: Path) -> None:
    """The batch in work took too long, whoever is to blame; the shard ahead is handed back, and nothing counts."""
    process = start(tmp_path, "stop", "task_timeout=2", shards=8)
    process.communicate(timeout=60)
    assert undisturbed(8) == rows(tmp_path)
    ended = {name.rpartition(".")[2]: content for name, content in claims(tmp_path).items()}
    assert ended["timeout"]["shared"] is ("free" in ended)  # it may have come to the next shard just then


# -- prepare in processes -------------------------------------------------------------------------------


def test_prepare_in_processes(tmp_path: Path) -> None:
    """What it leaves in the task's memory arrives; what it raises, or dies of, is the fault of its task alone."""
    process = start(tmp_path, "odd", 'prepare="processes"', "processes=1", shards=6)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err + out
    assert [row for row in undisturbed(6) if row["value"] not in {*ODD, UNSET}] == rows(tmp_path)
    failed = [
        (row["value"], row["row"], row["error"]) for row in [{**r, **r["task"]} for r in rows(tmp_path, "failed")]
    ]
    ends = [(13, 1, "crash"), (21, 1, "Awkward"), (30, 0, "SystemExit"), (UNSET, 1, "AttributeError")]
    assert ends == failed
    first, *_, last = [row["message"] for row in rows(tmp_path, "failed")]
    assert "lost a process of `prepare`" in first
    assert last.endswith("setup() was not called here: use what the constructor set, or prepare=threads")


def test_short_shards_of_a_stage_that_prepares_nothing(tmp_path: Path) -> None:
    """The next one is in work while one is committed; what was there after set-up is not searched for garbage."""
    given = [Number(id=f"n{n:03d}", value=n) for n in range(PER_SHARD * SHARDS)]
    resources = {"cpus": 1, "memory": "200MB", "time": "1h"}
    steps = {"ahead": Step(CountsFrozen(), StageOptions(shard_tasks=PER_SHARD, workers=1, resources=resources))}
    hpcurate.run(steps, given, store=tmp_path / "store", launcher="local")
    assert [task.id for task in given] == [row["id"] for row in rows(tmp_path)]
    assert all(row["value"] > 100_000 for row in rows(tmp_path))
    assert any(claim["ahead"] for claim in claims(tmp_path).values())
