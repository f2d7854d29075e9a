"""Tests write nothing into the checkout; the fixture `untouched_checkout` of conftest.py holds this for the session."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from checkout import ROOT
from untouched import untracked


def test_a_file_that_a_test_leaves_is_seen(tmp_path: Path) -> None:
    """Ignored or not; caches do not count."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("/demo/\n__pycache__/\n*.out\n")
    assert {".gitignore"} == untracked(tmp_path)
    for name in ("demo/a", "__pycache__/b.pyc", "slurm-6_0.out", "tests/c.txt", ".pytest_cache/d"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert {".gitignore", "demo", "slurm-6_0.out", "tests/c.txt"} == untracked(tmp_path)


def test_no_output_of_a_job_is_tracked() -> None:
    """`slurm-*.out` is what sbatch writes into the folder where somebody typed it."""
    done = subprocess.run(["git", "ls-files", "*slurm-*.out"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    assert "" == done.stdout
