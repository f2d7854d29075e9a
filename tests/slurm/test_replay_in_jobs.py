"""`hpcurate replay … launcher=slurm`: the stage as jobs, in a scratch store below the run's, where every node sees it."""

from __future__ import annotations

from pathlib import Path

import pytest
from measured import edit, measured_run
from slurm_fixture import SlurmSite


@pytest.mark.long
@pytest.mark.slurm
def test_a_stage_is_replayed_in_jobs(tmp_path: Path, slurm: SlurmSite) -> None:
    """With what it needs from the store; afterwards nothing of it is left there."""
    shell = measured_run(tmp_path, texts=30)
    shell.extra = dict(slurm.env)
    edit(shell, "length / 3", "length / 3 + (length == 20)")
    before = set(shell.store.rglob("*"))
    replay = ("replay", "measure", "--of", "latest", "launcher=slurm", "--store", str(shell.store))
    done = shell.type(*replay, status=1)
    assert "29 same, 1 changed, 0 missing, 0 additional" in done.stdout
    assert "score: 6.666666666666667 → 7.666666666666667" in done.stdout
    assert set() == set(shell.store.rglob("*")) - before
