"""Two users of one group on one store: what one has made, the other continues; what is private stays so."""

from __future__ import annotations

import json
import re
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from users import USERS, Team, team, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())
STAGE = '''"""A slow stage."""
import time

from stages.hello import LowerCase


class Slow(LowerCase):
    """Takes its time."""

    version = 1
    operational = ("seconds",)

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def process(self, tasks):
        time.sleep(self.seconds)
        return super().process(tasks)
'''
PIPELINE = """# @package _global_
name: slow
source: {_target_: stages.hello.Prompts, prompts: [Aa, Bb, Cc, Dd]}
stages: {slow: {_target_: slowly.Slow, shard_tasks: 1}}
launcher: {kind: local, workers: 1}
"""


@pytest.fixture
def pair() -> Iterator[Team]:
    """Both have the same pipeline in their home."""
    with team() as both:
        for user in USERS:
            (both.folder / user / "conf" / "pipeline").mkdir(parents=True)
            (both.folder / user / "conf" / "pipeline" / "slow.yaml").write_text(PIPELINE)
            (both.folder / user / "slowly.py").write_text(STAGE)
        yield both


def shards(store: Path) -> dict[str, int]:
    """Committed shards of the stage and whose they are."""
    return {path.name: path.stat().st_uid for path in store.glob("stages/slow-*/shards/*/[!.]*")}


def test_one_continues_what_the_other_began(pair: Team) -> None:
    """Ada does two shards and interrupts it; Bob, with the same command, does the rest, in a run of his own."""
    store, ada, bob = pair.shared / "store", *USERS.values()
    words = ["hpcurate", "+pipeline=slow", f"store={store}"]
    began = pair.start("ada", *words, "store_mode=group", "stages.slow.seconds=0.4")
    while len(shards(store)) < 2:
        assert began.poll() is None, began.communicate()[0]
        time.sleep(0.02)
    began.send_signal(signal.SIGINT)
    began.communicate(timeout=60)
    assert "complete" in pair.type("bob", *words, umask="077")
    owners = list(shards(store).values())
    assert (4, {ada, bob}) == (len(owners), set(owners))
    _check_modes(store)


def _check_modes(store: Path) -> None:
    """All of it is the group's, but for what is below the folder of a run."""
    for path in [store, *store.rglob("*")]:
        if path.is_symlink():
            continue
        mode, below = stat.S_IMODE(path.stat().st_mode), re.search(r"/runs/2", str(path))
        if below:
            assert not mode & 0o077, path
        elif path.is_dir():
            assert 0o2770 == mode, path
        else:
            assert mode in ((0o440,) if "/shards/" in str(path) else (0o660,)), path
    assert "group" == json.loads((store / "format.json").read_text())["mode"]


@pytest.mark.long
def test_a_cancel_leaves_the_others_work_alone(pair: Team) -> None:
    """Bob waits for Ada's round; his cancel stops nothing of hers, and her run ends as it would have. Later either may
    remove what the other made.
    """
    store = pair.shared / "store"
    words = ["hpcurate", "+pipeline=slow", f"store={store}"]
    began = pair.start("ada", *words, "store_mode=group", "stages.slow.seconds=1.5")
    while not list(store.glob("stages/slow-*/rounds/*.job")):
        time.sleep(0.05)
    waits = pair.start("bob", *words)
    while len(list(store.glob("runs/2*/pipeline.json"))) < 2:
        time.sleep(0.05)
    told = pair.type("bob", "hpcurate", "cancel", "--store", str(store))
    assert "slow: left running" in told
    assert not list(store.glob("stages/slow-*/rounds/*.cancelled"))
    waits.communicate(timeout=60)
    assert "complete" in began.communicate(timeout=60)[0]
    assert {USERS["ada"]} == set(shards(store).values())
    assert "complete" in pair.type("bob", *words)
    (run,) = (path.name for path in store.glob("runs/2*") if path.stat().st_uid == USERS["ada"])
    told = pair.type("bob", "hpcurate", "status", run, "--store", str(store), status=2)
    assert f"{run} is a run of {USERS['ada']}" in told
    runs = pair.type("bob", "hpcurate", "runs", "--store", str(store))
    assert re.search(rf"of {USERS['ada']}", runs)
    weights, registry = pair.folder / "weights", "path: {}\nfiles: []\n"
    weights.mkdir()
    (weights / "w.bin").write_bytes(b"w")
    for user in USERS:
        models = pair.folder / user / "conf" / "models"
        models.mkdir()
        (models / "mine.yaml").write_text(registry.format(weights))
    pair.type("ada", "hpcurate", "models", "fetch", "mine", "--store", str(store))
    assert "every file" in pair.type("bob", "hpcurate", "models", "verify", "mine", "--store", str(store))
    assert "removed" in pair.type("bob", "hpcurate", "models", "remove", "mine", "--store", str(store))
    _check_modes(store)


def test_a_private_store_is_nobody_elses(pair: Team) -> None:
    """Also in a folder that the group has. Before, a traceback told so."""
    store = pair.shared / "mine"
    store.mkdir(mode=0o700)
    told = pair.type("bob", "hpcurate", "+pipeline=slow", f"store={store}", status=2)
    assert f"store={store}: is private to root; name a store of yours" in told
