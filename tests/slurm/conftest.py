"""Shared by tests on a real Slurm."""

from __future__ import annotations

from pathlib import Path

import pytest
from driven import Site
from slurm_fixture import SlurmSite


@pytest.fixture
def there(tmp_path: Path, slurm: SlurmSite) -> Site:
    """A store whose drivers find the test's Slurm."""
    return Site(tmp_path, env=dict(slurm.env))
