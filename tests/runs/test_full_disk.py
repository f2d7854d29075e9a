"""A disk that is full for a moment, for real: a small tmpfs as store (I6, I11).

Before, two rows became one line and a task was both passed and failed, or every task was a dead letter after five
attempts within seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from driven import Site, comparable, no_double_commit

FULL_S = 4.0


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Site]:
    """A store of 24 MB on a filesystem of its own."""
    store = tmp_path / "store"
    store.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(store)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {mounted.stderr.strip()}")
    try:
        yield Site(tmp_path)
    finally:
        subprocess.run(["umount", "-l", str(store)], check=True)


def fill(site: Site) -> Path:
    """Leave not a byte."""
    path = site.store / "stuff"
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    return path


@pytest.mark.parametrize("after", [1, 6], ids=["early", "later"])
def test_a_disk_that_is_full_for_a_moment(small: Site, undisturbed: dict[str, str], after: int) -> None:
    """Nothing is corrupt, nobody is dead, and the run completes once there is room again."""
    process = small.start("local", "--sleep", "0.05")
    deadline = time.monotonic() + 60
    while len(small.claims()) < after and time.monotonic() < deadline:
        time.sleep(0.02)
    stuff = fill(small)
    time.sleep(FULL_S)
    os.unlink(stuff)
    process.communicate(timeout=120)
    finished = small.drive("local", "--sleep", "0.05")  # the same command, where the driver could not go on
    assert finished.status == 0, finished.err
    assert comparable(small) == undisturbed
    no_double_commit(small)
    endings = {path.suffix for path in small.store.glob("stages/*/claims/*/*") if not path.suffix[1:].isdigit()}
    assert endings <= {".store", ".free"}


def test_a_call_on_a_full_disk_is_one_line(small: Site) -> None:
    """It was a traceback, from wherever the first byte was to be written. Afterwards the same command goes on."""
    words = [sys.executable, "-m", "hpcurate", "+pipeline=words", f"store={small.store}", "launcher=inline"]
    assert 0 == subprocess.run([*words, "limit=1"], capture_output=True, check=False).returncode
    stuff = fill(small)
    refused = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (1, False) == (refused.returncode, "Traceback" in refused.stderr), refused.stderr
    assert "look at its free space, quota and mount, then type the same command again" in refused.stderr
    os.unlink(stuff)
    assert 0 == subprocess.run(words, capture_output=True, check=False).returncode
