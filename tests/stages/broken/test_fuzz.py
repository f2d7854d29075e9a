"""Thousands of files that are damaged at random, through the whole video pipeline."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from checkout import ROOT

from tests.stages.broken.fuzz import campaign

pytestmark = [pytest.mark.video, pytest.mark.long]


def test_each_of_two_thousand_files_ends_with_a_reason(tmp_path: Path) -> None:
    """None stops the run, crashes or hangs its process, or ends without a typed error that names it.

    Of the beginnings of real videos, too, where there are any. `python -m tests.stages.broken.fuzz` does it by hand.
    """
    videos = Path(os.environ.get("HPCURATE_TEST_VIDEOS", ROOT.parent / "shared" / "videos"))
    found = campaign(tmp_path, files=2000, seed=1, videos=videos if videos.is_dir() else None)
    print("\n".join(found.lines()))
    assert [] == found.faults
    assert {stage: peak for stage, peak in found.peaks.items() if peak > 2000} == {}
