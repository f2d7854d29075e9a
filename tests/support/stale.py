"""Clients of a shared folder that cache what they looked up, as those of NFS do: each is a mount of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from hpcurate.system.processes import die_with_parent

CACHED_S = 30
"""So long a client believes what it looked up: that a name is there, that it is not, and a file's attributes. Its
listings are always fresh: that those of NFS are not is what the simulation is for."""
PATIENCE_S = 10.0


@contextmanager
def client(folder: Path, mount: Path) -> Iterator[Path]:
    """The folder as one more client sees it. Skips where there is no bindfs, or nobody may mount."""
    program = shutil.which("bindfs")
    if program is None:
        pytest.skip("bindfs is not installed: type scripts/install-test-deps")
    caches = ",".join(f"{kind}_timeout={CACHED_S}" for kind in ("attr", "entry", "negative"))
    mount.mkdir()
    with open(f"{mount}.log", "wb") as output:
        process = subprocess.Popen(
            [program, "-f", "-o", caches, str(folder), str(mount)],
            stdout=output, stderr=output, preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGTERM),
        )  # fmt: skip
    try:
        _await_mount(process, mount)
        yield mount
    finally:
        process.terminate()  # it unmounts before it leaves
        process.wait(PATIENCE_S)


def _await_mount(process: subprocess.Popen[bytes], mount: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not os.path.ismount(mount) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    if not os.path.ismount(mount):
        said = Path(f"{mount}.log").read_text().strip() or f"no mount after {PATIENCE_S:.0f} s"
        refuse = pytest.fail if os.geteuid() == 0 and os.path.exists("/dev/fuse") else pytest.skip
        refuse(f"bindfs cannot mount here: {said}")
