"""Whole pipelines on a real Slurm whose nodes and login nodes are clients of the store that cache lookups for 30 s.

Each host has its own mount at the same path, and its own name: whether a process of another host lives is for
heartbeats and gates to find out. The tests look at the store itself.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from driven import Site, comparable, no_double_commit
from slurm_fixture import SlurmSite, running_slurm
from stale import Hosts, hosts

pytestmark = pytest.mark.slurm

NODES = ("cpu0", "cpu1", "gpu0", "gpu1")
LOGINS = ("login0", "login1")
SPREAD = "SelectTypeParameters=CR_Core_Memory,CR_LLN"
"""The workers of an array go to different nodes."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hosts, SlurmSite]]:
    """A Slurm whose nodes are hosts of their own: a slurmd first on PATH that starts the real one there."""
    folder = tmp_path_factory.mktemp("cluster")
    with hosts(folder, *NODES, *LOGINS) as found, pytest.MonkeyPatch.context() as patch:
        (folder / "bin").mkdir()
        program, real = folder / "bin" / "slurmd", shutil.which("slurmd", path=f"{os.environ['PATH']}:/usr/sbin")
        enter = shlex.join(found.on("NODE")).replace("NODE", '"$3"')
        program.write_text(f'#!/bin/sh\nexec {enter} {real} "$@" # -D -N NODE\n')
        program.chmod(0o755)
        patch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        with running_slurm("--no-accounting", "--conf", SPREAD) as slurm:
            yield found, slurm


@pytest.fixture
def there(cluster: tuple[Hosts, SlurmSite], request: pytest.FixtureRequest) -> tuple[Site, Site]:
    """One store, as it is driven from either login node."""
    found, slurm = cluster
    folder = found.shared / request.node.name
    folder.mkdir()
    one, other = (Site(folder, env=dict(slurm.env), within=found.on(login)) for login in LOGINS)
    return one, other


def await_(condition: Callable[[], object], what: str, timeout: float = 60) -> None:
    """Return as soon as it holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {timeout:.0f} s"
        time.sleep(0.05)


def await_end(site: Site) -> str:
    """State of the run once it is not running."""
    await_(lambda: site.summary()["state"] != "running", "end of the run", 120)
    return str(site.summary()["state"])


def claims(site: Site) -> list[Path]:
    """Every claim there is."""
    found = site.store.glob("stages/*/claims/*/*")
    return [path for path in found if not path.name.startswith(".") and path.suffix[1:].isdigit()]


def rounds(site: Site) -> dict[str, int]:
    """Stage → rounds."""
    found = [path.parts[-3].rpartition("-")[0] for path in site.store.glob("stages/*/rounds/*.ticket")]
    return {stage: found.count(stage) for stage in sorted(set(found))}


def claimers(site: Site) -> set[str]:
    """Hosts that had claims."""
    return {re.search(r'"host": "(\S+) ', path.read_text())[1] for path in claims(site)}  # type: ignore[index]


def test_a_pipeline(there: tuple[Site, Site], undisturbed: dict[str, str]) -> None:
    """Submitted from one login node, worked on by two nodes, moved on by gates: one round a stage, each shard once."""
    one, _ = there
    finished = one.drive("slurm", "--sleep", "0.02")
    assert finished.status == 0, finished.err
    assert await_end(one) == "complete"
    assert comparable(one) == undisturbed
    no_double_commit(one)
    assert {"cpu0", "cpu1"} == claimers(one)
    assert {"collect": 1, "digits": 1, "double": 1} == rounds(one)
    assert {1} == set(one.attempts().values())


def test_each_node_is_a_client_of_its_own(cluster: tuple[Hosts, SlurmSite]) -> None:
    """Without this the other tests would show nothing: what a node found missing stays so for it, and for it alone."""
    found, slurm = cluster
    name = found.shared / "name"

    def sees(node: str) -> bool:
        return "yes" in slurm.run("srun", "-w", node, "sh", "-c", f"test -e {name} && echo yes || echo no")

    assert not sees("cpu0")
    name.touch()
    assert (False, True) == (sees("cpu0"), sees("cpu1"))


def test_a_killed_worker_is_made_up_for(there: tuple[Site, Site], undisturbed: dict[str, str]) -> None:
    """kill -9 of one supervisor: a worker of another host waits for its heartbeat, or the gate begins a round."""
    one, _ = there
    assert one.drive("slurm", "--sleep", "0.1").status == 0
    await_(lambda: len(claimers(one)) > 1, "claims of two nodes")
    os.kill(int(re.search(r'"pid": (\d+)', claims(one)[-1].read_text())[1]), signal.SIGKILL)  # type: ignore[index]
    assert await_end(one) == "complete"
    assert comparable(one) == undisturbed
    no_double_commit(one)
    assert {"collect": 1, "digits": 1} == {stage: n for stage, n in rounds(one).items() if stage != "double"}
    assert rounds(one)["double"] <= 2


@pytest.mark.long
def test_nodes_that_looked_for_each_shard_before_it_was_there(
    cluster: tuple[Hosts, SlurmSite], there: tuple[Site, Site], undisturbed: dict[str, str]
) -> None:
    """A listing shows them the shard, and opening it says that it is not there: the gate ended with a traceback."""
    one, _ = there
    assert one.drive("slurm", "--sleep", "0.3").status == 0
    await_(lambda: claims(one), "claim")
    (fan,) = one.store.glob("stages/double-*/shards/*")
    shards = [f"{fan}/0001-{number:06d}" for number in range(12)]
    for node in ("cpu0", "cpu1"):
        cluster[1].run("srun", "-w", node, "sh", "-c", 'for path; do test -e "$path"; done; true', "sh", *shards)
    assert await_end(one) == "complete"
    assert comparable(one) == undisturbed
    no_double_commit(one)
    assert {"collect": 1, "digits": 1, "double": 1} == rounds(one)


@pytest.mark.long
def test_growth_typed_on_the_other_login_node(there: tuple[Site, Site], tmp_path: Path) -> None:
    """While nodes work on the input as it was: the rows of either, once, as in a run that nothing happened to."""
    one, other = there
    assert one.drive("slurm", "--sleep", "0.1", "--count", "40").status == 0
    await_(lambda: claims(one), "claim")
    finished = other.drive("slurm", "--wait", "--sleep", "0.1", "--count", "70")
    assert finished.status == 0, finished.err
    expected = Site(tmp_path)
    for count in ("40", "70"):
        assert expected.drive("inline", "--sleep", "0.1", "--count", count).status == 0
    assert rows(expected) == rows(one)
    no_double_commit(one)
    assert max(one.attempts().values()) == 1


def rows(site: Site) -> dict[str, str]:
    """The tree without the gather, which one of two sites may have run for the input as it was, too."""
    return {name: text for name, text in comparable(site).items() if not name.startswith("collect")}


def test_a_cancel_on_the_other_login_node(
    cluster: tuple[Hosts, SlurmSite], there: tuple[Site, Site], undisturbed: dict[str, str]
) -> None:
    """While the one submits, and again: it stays cancelled until the command is typed, there or here."""
    one, other = there
    for drives, cancels in ((one, other), (other, one)):
        before = sum(rounds(one).values())
        process = drives.start("slurm", "--sleep", "0.3")
        await_round(one, before + 1)
        said = verb(cancels, "cancel")
        assert said.returncode == 0, said.stderr
        process.communicate(timeout=60)
        cluster[1].wait_idle(60)
        assert one.summary()["state"] == "cancelled"
    finished = other.drive("slurm", "--wait")
    assert finished.status == 0, finished.err
    assert comparable(one) == undisturbed
    no_double_commit(one)


def await_round(site: Site, number: int) -> None:
    """Return once so many rounds have been begun, of all stages together."""
    await_(lambda: sum(rounds(site).values()) >= number, f"round {number}")


def verb(site: Site, *words: str) -> subprocess.CompletedProcess[str]:
    """Type a verb where the site's drivers run."""
    line = [*site.within, sys.executable, "-m", "hpcurate", *words, "--store", str(site.store)]
    return subprocess.run(
        line, env={**os.environ, **site.env}, capture_output=True, text=True, timeout=120, check=False
    )
