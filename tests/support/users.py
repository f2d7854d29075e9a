"""Two real users of one machine, with one group: only root can be both."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from checkout import ROOT

TEAM = 64200
USERS = {"ada": 64201, "bob": 64202}
_VISIBLE = """set -e
mount --make-rprivate /
mount --bind "$1" "$3"
mount -t tmpfs -o mode=755 none "$2"
mkdir -p "$1"
mount --bind "$3" "$1"
"""
"""In a namespace of mounts of its own: Python's prefix stays, in a folder above it that only root may enter."""


class Team:
    """A folder that the group has, and a home for each user."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.shared, self._python = folder, folder / "team", folder / "python"
        self._python.mkdir()
        for path, owner, group, mode in [
            (folder, 0, 0, 0o755),
            (self.shared, 0, TEAM, 0o2775),
            *((folder / user, uid, uid, 0o700) for user, uid in USERS.items()),
        ]:
            path.mkdir(exist_ok=True)
            os.chown(path, owner, group)
            path.chmod(mode)

    def start(self, user: str, *words: str, umask: str = "022") -> subprocess.Popen[str]:
        """Let a user type a command."""
        home = self.folder / user
        command = [sys.executable, "-m", *words]
        as_user = ["setpriv", f"--reuid={USERS[user]}", f"--regid={USERS[user]}", f"--groups={TEAM}"]
        script = f'{self._namespace()}shift 3; cd "{home}"; umask {umask}; exec "$@"'
        prefix, closed = Path(sys.base_prefix), _closed(Path(sys.base_prefix))
        return subprocess.Popen(
            ["unshare", "-m", "sh", "-c", script, "sh", str(prefix), str(closed), str(self._python), *as_user, *command],
            env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'support'}"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def _namespace(self) -> str:
        return _VISIBLE if _closed(Path(sys.base_prefix)) else ""

    def type(self, user: str, *words: str, status: int = 0, umask: str = "022") -> str:
        """Let a user type a command, and wait for its end."""
        process = self.start(user, *words, umask=umask)
        output = process.communicate(timeout=120)[0]
        assert status == process.returncode, output
        return output


def _closed(path: Path) -> Path | None:
    """The folder above that not everybody may enter."""
    return next((above for above in path.parents if not above.stat().st_mode & 0o001), None)


@contextmanager
def team() -> Iterator[Team]:
    """Both, in a folder that they can reach."""
    folder = Path(tempfile.mkdtemp(prefix="hpcurate-team-", dir="/tmp"))
    try:
        yield Team(folder)
    finally:
        shutil.rmtree(folder)


def why_not() -> str:
    """Why there can be no two users here; empty if there can."""
    if os.getuid():
        return "only root can be two users"
    for program in ("setpriv", "unshare"):
        if shutil.which(program) is None:
            return f"no {program} here"
    tried = subprocess.run(["unshare", "-m", "mount", "--make-rprivate", "/"], capture_output=True, check=False)
    return "mounts are refused here" if tried.returncode else ""
