"""Stages are constructed without their libraries."""

from __future__ import annotations

import subprocess
import sys

import pytest
from checkout import ROOT

pytestmark = pytest.mark.video


def test_constructing_the_stages_imports_nothing_heavy() -> None:
    """The driver and the gates construct them, too."""
    code = (
        "import sys; from stages.video import cut, index, motion, preview, probe, split, write; "
        "probe.Probe(), split.Split(), cut.Cut(), motion.Motion(), preview.Preview(), "
        "write.Write('o'), index.Index('o'); "
        "print(*sorted({'av', 'cv2', 'numpy', 'scenedetect', 'PIL', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
