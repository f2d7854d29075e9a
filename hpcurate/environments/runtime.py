"""The runtime: attrs and msgspec for each minor version of Python, beside the environments, which stay untouched (I9).

`<store>/runtime/cp39-x86_64/` and so on. A stage process appends its own to the import path, last: an environment's own
packages win.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence

import msgspec

from hpcurate.errors import ConfigError, StoreError
from hpcurate.store.access import make_folders
from hpcurate.store.exclusive import publish
from hpcurate.store.layout import Store
from hpcurate.system.processes import nonce
from hpcurate.system.programs import bare, output_tail

Echo = Callable[[str], None]
OLDEST = (3, 9)
"""Python that hpcurate's side of a stage process needs."""
PACKAGES = ("attrs", "msgspec")
"""What it needs beside the standard library."""
VERSIONS = {
    "3.9": ("26.1.0", "0.20.0"),  # the last msgspec for this Python
    "3.10": ("26.1.0", "0.22.0"),
    "3.11": ("26.1.0", "0.22.0"),
    "3.12": ("26.1.0", "0.22.0"),
    "3.13": ("26.1.0", "0.22.0"),
    "3.14": ("26.1.0", "0.22.0"),
}
"""Versions of PACKAGES for each Python that a stage may have; the newest row also serves newer ones. As in
constraints.txt wherever a release exists: rows that are written on one side are read on the other."""
PROBE = (
    "import sys, json, importlib.util as u; "
    f"print(json.dumps([sys.version_info[:3], [n for n in {('attr', 'msgspec')!r} if u.find_spec(n) is None]]))"
)
START_S = 120.0
"""How long an interpreter may take to start: the first time, from slow shared storage."""


class PythonFacts(msgspec.Struct, frozen=True):
    """Version of an environment's Python, and what it lacks."""

    version: tuple[int, ...]
    lacks: tuple[str, ...]
    """Modules of the runtime."""


def inspect_python(python: Sequence[str], what: str) -> PythonFacts:
    """Start a Python and ask it. Raises ConfigError if it does not start or is too old."""
    try:
        done = subprocess.run(
            [*python, "-c", PROBE], capture_output=True, text=True, timeout=START_S, env=bare(os.environ), check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"{what}: {' '.join(python)} does not start: {error}") from None
    try:
        version, lacks = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        output = output_tail(done.stderr or done.stdout)
        raise ConfigError(f"{what}: {' '.join(python)} does not start: {output or done.returncode}") from None
    if tuple(version[:2]) < OLDEST:
        raise ConfigError(f"{what}: its Python is {'.'.join(map(str, version))}; a stage needs 3.9 or newer")
    return PythonFacts(tuple(version), tuple(lacks))


def provide_runtime(store: str, facts: PythonFacts, echo: Echo = lambda line: None) -> None:
    """Fetch the packages that such a Python lacks, unless the store has them. Raises StoreError."""
    if facts.lacks:
        _fetch(store, f"{facts.version[0]}.{facts.version[1]}", echo)


def provide_runtimes(store: str, echo: Echo = lambda line: None) -> None:
    """Fetch the packages for every Python: for an environment that cannot be started here. Raises StoreError."""
    for minor in VERSIONS:
        _fetch(store, minor, echo)


def _fetch(store: str, version: str, echo: Echo) -> None:
    folder = os.path.join(Store.at(store).runtime, f"cp{version.replace('.', '')}-{platform.machine()}")
    if os.path.isdir(folder):
        return
    echo(f"runtime: {' and '.join(PACKAGES)} for Python {version}")
    make_folders(os.path.dirname(folder))
    part = f"{folder}.{nonce()}"  # several may fetch at once, on several machines; the first one's stands
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        _copy_ours(part)
    else:
        _pip(part, version)
    publish(part, folder)


def _copy_ours(part: str) -> None:
    """The packages that this process uses: nothing has to be fetched for the same minor version."""
    for name in ("attr", "attrs", "msgspec", "typing_extensions"):
        spec = importlib.util.find_spec(name)
        if spec and spec.submodule_search_locations:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(spec.submodule_search_locations[0], os.path.join(part, name), ignore=ignored)
        elif spec and spec.origin:
            shutil.copy2(spec.origin, part)


def pinned(version: str) -> list[str]:
    """pip's requirements for a Python such as `3.12`. Pure."""
    versions = VERSIONS.get(version) or list(VERSIONS.values())[-1]
    return [f"{package}=={number}" for package, number in zip(PACKAGES, versions)]


def _pip(part: str, version: str) -> None:
    """Wheels for another Python. Raises StoreError."""
    options = ["--target", part, "--python-version", version, "--only-binary", ":all:", "--no-deps", "--quiet"]
    command = [sys.executable, "-m", "pip", "install", *options, *pinned(version)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(part, ignore_errors=True)
        packages, reason = ", ".join(pinned(version)), output_tail(done.stderr)
        raise StoreError(f"runtime: pip could not fetch {packages} for Python {version}: {reason}")
