"""What the launcher offers: gates, a queue, checks, a diagnosis; and what it does not have."""

from __future__ import annotations

import pytest

from hpcurate.runs.launcher import make_launcher
from launchers.slurm import SlurmLauncher

TARGET = "launchers.slurm.SlurmLauncher"


def test_a_site_whose_jobs_may_not_submit_has_no_gates() -> None:
    """The call stays; nothing is submitted from a job."""
    launcher = SlurmLauncher(site={"nodes_may_submit": False})
    assert (True, None) == (launcher.stays, launcher.gates)
    assert not SlurmLauncher().stays
    assert SlurmLauncher().gates is not None


def test_it_is_made_by_its_target() -> None:
    """The path that frozen runs hold."""
    launcher = make_launcher({"_target_": TARGET, "partition": "p"})
    assert ("slurm", False, None) == (launcher.name, launcher.in_process, launcher.children)
    assert launcher.queue.name == "slurm"
    assert launcher.checks is not None


def test_nothing_to_diagnose_without_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no cluster to look at."""
    monkeypatch.setenv("PATH", "/nowhere")
    assert SlurmLauncher().diagnosis is None


def test_a_call_that_stays_waits_longer_and_a_gate_as_long_as_it_lives() -> None:
    """A user's patience is never cut by a call that stays; a gate waits exactly as long as it may."""
    launcher = SlurmLauncher(patience_s=60)
    launcher.set_patience(5, at_least=True)
    assert launcher.patience_s == 60
    launcher.set_patience(900, at_least=True)
    assert launcher.patience_s == 900
    launcher.set_patience(30)
    assert launcher.gates is not None
    assert (30, 30) == (launcher.patience_s, launcher.gates.patience_s)


def test_the_nodes_own_disks_are_the_profiles() -> None:
    """With the quota in bytes."""
    launcher = SlurmLauncher(site={"node_local": ["/scratch"], "node_quota": "1GB"})
    assert (("/scratch",), 2**30) == (launcher.node_local, launcher.node_quota)
    assert ((), None) == (SlurmLauncher().node_local, SlurmLauncher().node_quota)
