"""Clients of a shared folder that cache what they looked up, as those of NFS do: each is a mount of its own.

And hosts, each with its own client at the same path: namespaces of this machine.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from hpcurate.system.processes import die_with_parent

CACHED_S = 30
"""So long a client believes what it looked up: that a name is there, that it is not, and a file's attributes. Its
listings are always fresh: that those of NFS are not is what the simulation is for."""
PATIENCE_S = 10.0
ENTER = 'mount --bind "$0" "$1" && hostname "$2" && cd "$PWD" && shift 2 && exec "$@"'


@dataclass(frozen=True)
class Hosts:
    """Hosts that share a folder, by their names. Processes of two of them cannot see whether the other lives."""

    shared: Path
    """The folder: the path is the same on all hosts; here, outside of them, it is what it really is."""
    mounts: Path

    def on(self, host: str) -> tuple[str, ...]:
        """What to write before a command that is to run on a host."""
        return ("unshare", "--mount", "--uts", "sh", "-c", ENTER, str(self.mounts / host), str(self.shared), host)


@contextmanager
def hosts(folder: Path, *names: str) -> Iterator[Hosts]:
    """As many clients of `folder/shared`, each at that path on a host of its name."""
    found = Hosts(folder / "shared", folder / "mounts")
    found.shared.mkdir()
    found.mounts.mkdir()
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(client(found.shared, found.mounts / name))
        yield found


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
