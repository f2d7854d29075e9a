"""An environment with hpcurate from its wheel."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest
from checkout import ROOT


def install_wheel(folder: Path) -> Path:
    """Python of an environment with the wheel; third-party packages are those of the tests' own environment."""
    folder.mkdir(exist_ok=True)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    python = folder / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", str(python), "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    # A path line in a .pth file: its folder's own .pth files, ours among them, are not read.
    (site / "others.pth").write_text(f"{Path(pytest.__file__).parent.parent}\n")
    return python
