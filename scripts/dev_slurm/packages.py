"""The programs that a dev-slurm is made of, and the packages that hold them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable

from .folder import CannotRunHere

SLURM = {"slurmctld": "slurm-wlm", "slurmd": "slurm-wlm", "sbatch": "slurm-wlm", "munged": "munge"}
ACCOUNTING = {
    "slurmdbd": "slurmdbd",
    "mariadbd": "mariadb-server",
    "mariadb-install-db": "mariadb-server",
}


def search_path() -> str:
    """PATH with the folders of daemons, which a user's own often lacks."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def program(name: str) -> str:
    """Where a program is; `require` has said what to do when it is nowhere."""
    found = shutil.which(name, path=search_path())
    if found is None:
        raise CannotRunHere(f"{name} is not installed")
    return found


def require(accounting: bool, install: bool) -> None:
    """Check that every program is there; otherwise say the line that installs them, or run it."""
    needed = {**SLURM, **(ACCOUNTING if accounting else {})}
    names = _missing(needed)
    if not names:
        return
    if shutil.which("apt-get") is None:
        what = "Slurm, munge and MariaDB" if accounting else "Slurm and munge"
        raise CannotRunHere(f"not installed: {', '.join(names)}. Install {what} as this system does it")
    packages = " ".join(sorted({needed[name] for name in names}))
    line = f"apt-get update && apt-get install -y --no-install-recommends {packages}"
    if not install:
        raise CannotRunHere(f"not installed: {', '.join(names)}. Type `{line}`, or add --install")
    subprocess.run(["sh", "-c", line], env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, check=False)
    if names := _missing(needed):
        raise CannotRunHere(f"still not installed after `{line}`: {', '.join(names)}")


def _missing(names: Iterable[str]) -> list[str]:
    return [name for name in names if shutil.which(name, path=search_path()) is None]
