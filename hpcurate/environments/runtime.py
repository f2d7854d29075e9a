"""The runtime: attrs and msgspec for each minor of Python, beside the environments, which stay untouched (I9).

`<store>/runtime/cp39-x86_64/` and so on. A stage process appends its own to the import path, last: where an environment
has the packages itself, those win.
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
from contextlib import suppress

import attrs

from hpcurate.errors import ConfigError, StoreError
from hpcurate.store.layout import Store
from hpcurate.system.programs import bare, output_tail

Echo = Callable[[str], None]
OLDEST = (3, 9)
"""Python that hpcurate's side of a stage process needs."""
MINORS = ("3.9", "3.10", "3.11", "3.12", "3.13")
"""What an environment may have that nobody could look into."""
RUNTIME = ("attrs", "msgspec")
"""What it needs beside the standard library."""
LOOK = (
    "import sys, json, importlib.util as u; "
    f"print(json.dumps([sys.version_info[:3], [n for n in {('attr', 'msgspec')!r} if u.find_spec(n) is None]]))"
)
LOOK_S = 120.0
"""How long an interpreter may take to start: the first time, from slow shared storage."""


@attrs.define(frozen=True)
class Facts:
    """What an environment's Python is."""

    version: tuple[int, ...]
    lacks: tuple[str, ...]
    """Of the runtime."""


def look_into(python: Sequence[str], what: str) -> Facts:
    """Version of a Python, and what it lacks. Raises ConfigError where it does not start or is too old."""
    try:
        done = subprocess.run(
            [*python, "-c", LOOK], capture_output=True, text=True, timeout=LOOK_S, env=bare(os.environ), check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"{what}: {' '.join(python)} does not start: {error}") from None
    try:
        version, lacks = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        words = output_tail(done.stderr or done.stdout)
        raise ConfigError(f"{what}: {' '.join(python)} does not start: {words or done.returncode}") from None
    if tuple(version[:2]) < OLDEST:
        raise ConfigError(f"{what}: its Python is {'.'.join(map(str, version))}; a stage needs 3.9 or newer")
    return Facts(tuple(version), tuple(lacks))


def provide_runtime(store: str, facts: Facts, echo: Echo = lambda line: None) -> None:
    """Fetch what such a Python lacks, unless it is there. Raises StoreError."""
    if facts.lacks:
        _fetch(store, f"{facts.version[0]}.{facts.version[1]}", echo)


def provide_runtimes(store: str, echo: Echo = lambda line: None) -> None:
    """For every Python that an environment may have which nobody can look into from here. Raises StoreError."""
    for minor in MINORS:
        _fetch(store, minor, echo)


def _fetch(store: str, version: str, echo: Echo) -> None:
    folder = os.path.join(Store.at(store).runtime, f"cp{version.replace('.', '')}-{platform.machine()}")
    if os.path.isdir(folder):
        return
    echo(f"runtime: {' and '.join(RUNTIME)} for Python {version}")
    part = f"{folder}.{os.getpid()}"
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        _copy_ours(part)
    else:
        _pip(part, version)
    with suppress(OSError):  # another call was first
        os.rename(part, folder)
    shutil.rmtree(part, ignore_errors=True)


def _copy_ours(part: str) -> None:
    """The packages that this very process uses: nothing has to be fetched for the same minor."""
    for name in ("attr", "attrs", "msgspec", "typing_extensions"):
        spec = importlib.util.find_spec(name)
        if spec and spec.submodule_search_locations:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(spec.submodule_search_locations[0], os.path.join(part, name), ignore=ignored)
        elif spec and spec.origin:
            shutil.copy2(spec.origin, part)


def _pip(part: str, version: str) -> None:
    """Wheels for another Python. Raises StoreError."""
    wanted = ["--target", part, "--python-version", version, "--only-binary", ":all:", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *wanted, *RUNTIME], capture_output=True, text=True, check=False
    )
    if done.returncode:
        shutil.rmtree(part, ignore_errors=True)
        told = output_tail(done.stderr)
        raise StoreError(f"runtime: pip could not fetch {', '.join(RUNTIME)} for Python {version}: {told}")
