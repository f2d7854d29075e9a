"""A conda channel of the test's own: a Python that is on this machine, packed as a conda package, and a few small ones."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

OTHERS = ("3.9", "3.10", "3.12", "3.13")
"""Minors that are not the tests' own."""
LEFT_OUT = ("test", "tests", "__pycache__", "site-packages", "idlelib", "ensurepip", "lib2to3", "*.a", "config-*")


def find_python(minor: str) -> Path | None:
    """Prefix of an interpreter on this machine, in PATH or the pyenv root."""
    root = Path(os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))) / "versions"
    found = [path / "bin" / "python3" for path in sorted(root.glob(f"{minor}.*"))]
    in_path = shutil.which(f"python{minor}")
    for python in [*found, *([Path(in_path)] if in_path else [])]:
        code = "import sys; print(sys.base_prefix, '%d.%d' % sys.version_info[:2])"
        done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.split()[1:] == [minor]:
            return Path(done.stdout.split()[0])
    return None


def make_channel(folder: Path) -> tuple[str, str]:
    """(address of the channel, minor of its Python). Skips where there is no other Python."""
    from rattler.index import index_fs
    from rattler_build import assemble_package

    minor = next((m for m in OTHERS if find_python(m)), None)
    if minor is None:
        pytest.skip(f"no other Python on this machine: looked for {', '.join(OTHERS)} in PATH and the pyenv root")
    home, target = find_python(minor), folder / "channel" / "linux-64"
    assert home is not None
    target.mkdir(parents=True)
    (folder / "channel" / "noarch").mkdir()
    stage = folder / "python"
    shutil.copytree(
        home / "lib" / f"python{minor}", stage / "lib" / f"python{minor}", ignore=shutil.ignore_patterns(*LEFT_OUT)
    )
    for library in (home / "lib").glob("libpython*"):
        shutil.copy2(library, stage / "lib")
    (stage / "lib" / f"python{minor}" / "site-packages").mkdir()
    (stage / "bin").mkdir()
    shutil.copy2(os.path.realpath(home / "bin" / f"python{minor}"), stage / "bin" / f"python{minor}")
    for name in ("python", "python3"):
        (stage / "bin" / name).symlink_to(f"python{minor}")
    assemble_package("python", f"{minor}.99", "linux-64", "0", target, files_dir=stage, compression_level=1)
    tiny = folder / "tiny"
    (tiny / "lib" / f"python{minor}" / "site-packages").mkdir(parents=True)
    (tiny / "lib" / f"python{minor}" / "site-packages" / "tinypkg.py").write_text("VALUE = 42\n")
    (tiny / "etc" / "conda" / "activate.d").mkdir(parents=True)
    (tiny / "etc" / "conda" / "activate.d" / "tiny.sh").write_text('export TINY_HOME="$CONDA_PREFIX/tiny home"\n')
    assemble_package("tinypkg", "1.0", "linux-64", "0", target, files_dir=tiny, depends=["python"])
    gpu = folder / "gpu"
    (gpu / "share").mkdir(parents=True)
    (gpu / "share" / "gpu.txt").write_text("for a GPU\n")
    assemble_package("tinygpu", "1.0", "linux-64", "0", target, files_dir=gpu, depends=["python", "__cuda >=12"])
    asyncio.run(index_fs(folder / "channel"))
    return (folder / "channel").as_uri(), minor
