"""Building from a lock file with py-rattler, in-process: no conda is needed.

A prefix cannot be moved once it is linked: packages, pip and scripts write its path into files. So each build has a
folder of its own beside the name, `<name>-<digest>.<turn>`, and the name is a symbolic link to the finished one, made
last and exclusively: nobody sees half an environment, and two builders never share a folder. What a killed build left
is built again, from the packages that were fetched already.
"""

from __future__ import annotations

import asyncio
import glob
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hpcurate.environments.files import Buildable
from hpcurate.environments.locking import conda_packages, library, wheels
from hpcurate.environments.runtime import inspect_python, provide_runtime
from hpcurate.errors import StoreError
from hpcurate.secrets import is_secret_variable
from hpcurate.store.access import is_groups, make_folders, settle
from hpcurate.store.exclusive import exclusive
from hpcurate.store.filesystem import POSIX
from hpcurate.store.layout import Store
from hpcurate.system.programs import activated, output_tail

Echo = Callable[[str], None]
MARKER = ".hpcurate.json"


def prefix_of(env: Buildable, store: str) -> str:
    """Path of the environment, built or not. Raises ConfigError as `locked` of it."""
    digest = hashlib.sha256(env.locked() + env.digest.encode()).hexdigest()[:12]
    return os.path.join(Store.at(store).envs, f"{env.name}-{digest}")


def is_built(prefix: str) -> bool:
    """Whether it is complete."""
    return MARKER in POSIX.names(prefix)


def build(env: Buildable, store: str, echo: Echo = lambda line: None) -> str:
    """Build it unless that is done; its prefix. Raises ConfigError or StoreError."""
    prefix = prefix_of(env, store)
    make_folders(os.path.dirname(prefix))
    if is_built(prefix):
        echo(f"{env.name}: {prefix} is complete")
        return prefix
    with exclusive(prefix, "building") as turn:
        if not is_built(prefix):
            remove(prefix, store)  # what a killed build left
            folder = f"{prefix}.{turn}"
            records, pinned = conda_packages(env), wheels(env)
            _install(env, records, folder, echo)
            _wheels(env, pinned, folder, echo)
            _pip(env, folder, echo)
            _post_install(env, folder, echo)
            facts = inspect_python([os.path.join(folder, "bin", "python")], str(env.path))
            provide_runtime(store, facts, echo)
            marker = {"name": env.name, "python": list(facts.version), "variables": activation_variables(folder)}
            POSIX.create(os.path.join(folder, MARKER), json.dumps(marker, indent=1).encode() + b"\n")
            if is_groups(os.path.dirname(prefix)):  # else nobody else gets as far as here
                settle(folder)
            _publish(folder, prefix)
    return prefix


def _publish(folder: str, prefix: str) -> None:
    """Let the name stand for the finished environment, unless another one was first."""
    try:
        os.symlink(os.path.basename(folder), prefix)
    except FileExistsError:
        if os.path.realpath(prefix) != os.path.realpath(folder):  # else a retried answer of a network filesystem
            shutil.rmtree(folder, ignore_errors=True)


def remove(prefix: str, store: str) -> list[str]:
    """Move the environment, and what killed builds left of it, into the trash; what there was."""
    pattern = f"{glob.escape(os.path.basename(prefix))}.[0-9]*"
    folders = [str(path) for path in Path(os.path.dirname(prefix)).glob(pattern)]
    found = [path for path in (prefix, *folders) if os.path.lexists(path)]  # the name first
    for path in found:
        POSIX.discard(path, Store.at(store).trash)
    return found


def _install(env: Buildable, records: list[Any], prefix: str, echo: Echo) -> None:
    echo(f"{env.name}: linking {len(records)} packages into {prefix}")
    try:
        asyncio.run(library().install(records, target_prefix=prefix, show_progress=sys.stderr.isatty()))
    except Exception as error:  # the library's errors have no common base
        raise StoreError(f"{env.name}: cannot be built: {' '.join(str(error).split())[:400]}") from None


def _wheels(env: Buildable, locked: list[str], prefix: str, echo: Echo) -> None:
    """Our own pip installs them, since what pixi locked may lack one."""
    if not locked:
        return
    echo(f"{env.name}: pip install of {len(locked)} locked wheels")
    pip = [sys.executable, "-m", "pip", "--python", os.path.join(prefix, "bin", "python"), "install"]
    options = ["--no-deps", "--no-index", "--require-hashes", "--only-binary", ":all:"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(locked) + "\n")
        file.flush()
        _run([*pip, *options, "-r", file.name], prefix, f"{env.path}: pip")


def _pip(env: Buildable, prefix: str, echo: Echo) -> None:
    if env.pip:
        echo(f"{env.name}: pip install {' '.join(env.pip)}")
        _run([os.path.join(prefix, "bin", "python"), "-m", "pip", "install", *env.pip], prefix, f"{env.path}: pip")


def _post_install(env: Buildable, prefix: str, echo: Echo) -> None:
    if env.post_install:
        echo(f"{env.name}: {env.name}.post_install.sh")
        _run(["bash", "-euo", "pipefail", "-c", env.post_install], prefix, f"{env.name}.post_install.sh")


def _run(command: Sequence[str], prefix: str, what: str) -> None:
    done = subprocess.run(
        command, env=activated(prefix, os.environ), capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        raise StoreError(f"{what} failed with exit status {done.returncode}: {output_tail(done.stderr + done.stdout)}")


def activation_variables(prefix: str) -> dict[str, str]:
    """Variables that the packages' own activation scripts set, as a shell sees them, but no secrets."""
    before = activated(prefix, os.environ)
    scripts = sorted(Path(prefix, "etc", "conda", "activate.d").glob("*.sh"))
    if not scripts:
        return {}
    line = "".join(f'. "{script}" >/dev/null 2>&1; ' for script in scripts) + "env -0"
    done = subprocess.run(["bash", "-c", line], env=before, capture_output=True, check=False)
    after = dict(entry.split("=", 1) for entry in done.stdout.decode(errors="replace").split("\0") if "=" in entry)
    left = ("_", "SHLVL", "PWD", "OLDPWD", "PATH")
    found = {key: value for key, value in after.items() if before.get(key) != value and key not in left}
    return {key: value for key, value in found.items() if not is_secret_variable(key)}
