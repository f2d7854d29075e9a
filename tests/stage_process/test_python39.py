"""What runs in a stage's environment needs no newer Python than 3.9 (I9)."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import attr
import attrs
import pytest
from checkout import ROOT
from imports import files_of, module_name, wall_patterns

STAGE_SIDE = sorted({path for pattern in wall_patterns() for path in files_of(pattern)})
MODULES = tuple(module_name(path) for path in STAGE_SIDE)
FOREIGN = (
    "hydra",
    "omegaconf",
    "submitit",
    "hpcurate.planning.plan",
    "hpcurate.planning.options",
    "hpcurate.planning.pipeline",
    "hpcurate.cli",
)


BY_NAME = """
class Struct:
    def __init_subclass__(cls, **settings): pass
    def __init__(self, *values, **named):
        self.__dict__.update(zip(self.__annotations__, values), **named)
def field(**settings): return None
"""
"""Of msgspec, what is used while modules are imported."""


def _candidates(version: str) -> list[Path]:
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [Path(p) for p in [shutil.which(f"python{version}")] if p]
    return [*sorted(root.glob(f"versions/{version}*/bin/python")), *found]


def _works(python: Path, version: str) -> bool:
    try:
        said = subprocess.run([python, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    except OSError:
        return False
    return said.startswith(f"Python {version}.")


@pytest.fixture(params=["3.9", "3.10"])
def old_python(request: pytest.FixtureRequest) -> Path:
    """An old interpreter, if this machine has one."""
    for python in _candidates(request.param):
        if _works(python, request.param):
            return python
    pytest.skip(f"no Python {request.param} in PATH or under PYENV_ROOT")


def test_the_stage_side_compiles(old_python: Path) -> None:
    """Syntax of every module that a stage process may import."""
    files = [str(path) for path in STAGE_SIDE]
    program = "import sys\nfor path in sys.argv[1:]: compile(open(path, encoding='utf-8').read(), path, 'exec')"
    ran = subprocess.run([old_python, "-c", program, *files], capture_output=True, text=True, check=False)
    assert (0, "") == (ran.returncode, ran.stderr)


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """hpcurate and attrs as they are; msgspec, whose wheel is for one Python only, by name only."""
    (tmp_path / "hpcurate").symlink_to(ROOT / "hpcurate")
    for module in (attr, attrs):
        folder = Path(module.__file__).parent
        (tmp_path / folder.name).symlink_to(folder)
    (tmp_path / "msgspec.py").write_text(BY_NAME)
    return tmp_path


def test_the_stage_side_imports_and_brings_nothing_else_along(old_python: Path, packages: Path) -> None:
    """No expression of a newer Python is evaluated; nothing of the driver's is loaded."""
    program = (
        "import importlib, sys\n"
        f"for name in {MODULES!r}: importlib.import_module(name)\n"
        f"print([name for name in {FOREIGN!r} if name in sys.modules])"
    )
    environment = {"PYTHONPATH": str(packages), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(
        [old_python, "-c", program], env=environment, capture_output=True, text=True, cwd=packages, check=False
    )
    assert ("[]\n", "") == (ran.stdout, ran.stderr)
