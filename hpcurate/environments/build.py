"""Locking and building with py-rattler, in-process: no conda is needed.

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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hpcurate.environments.files import EnvFile
from hpcurate.environments.runtime import inspect_python, provide_runtime
from hpcurate.errors import ConfigError, StoreError
from hpcurate.store.exclusive import exclusive
from hpcurate.store.filesystem import POSIX
from hpcurate.store.layout import Store
from hpcurate.system.programs import activated, output_tail

Echo = Callable[[str], None]
MARK = "# hpcurate locked this for the file with the digest "
MARKER = ".hpcurate.json"


# -- locking ----------------------------------------------------------------------------------------


def lock(env: EnvFile, echo: Echo = lambda line: None) -> Path:
    """Solve for this machine's platform and write the lock file. Raises ConfigError with the solver's message."""
    rattler = _library()
    if not os.access(env.path.parent, os.W_OK):
        raise ConfigError(f"{env.path}: its lock cannot be written beside it; copy it into an envs/ folder of your own")
    echo(f"{env.name}: solving {len(env.dependencies)} packages from {', '.join(env.channels)}")
    subdir = str(rattler.platform.Subdir.current())
    try:
        records = asyncio.run(
            rattler.solve(
                sources=list(env.channels),
                specs=[rattler.MatchSpec(spec) for spec in env.dependencies],
                platforms=[subdir, "noarch"],
                virtual_packages=rattler.VirtualPackage.detect(rattler.VirtualPackageOverrides.from_env()),
            )
        )
    except Exception as error:  # the library's errors have no common base
        raise ConfigError(f"{env.path}: cannot be solved: {_shortened(str(error), env)}") from None
    platform = rattler.LockPlatform(subdir)
    lock_file = rattler.LockFile([platform])
    lock_file.set_channels("default", [rattler.LockChannel(channel) for channel in env.channels])
    for record in sorted(records, key=lambda record: str(record.name.normalized)):
        lock_file.add_conda_package("default", platform, record)
    temporary = env.lock.with_suffix(".lock.part")
    lock_file.to_path(temporary)
    POSIX.replace(str(env.lock), f"{MARK}{env.digest}\n".encode() + temporary.read_bytes())
    temporary.unlink()
    return env.lock


def _shortened(message: str, env: EnvFile) -> str:
    """The solver's first lines, and the line of the file that they are about."""
    lines = [line.strip() for line in message.splitlines() if line.strip()][:4]
    names = [spec.replace("=", " ").replace("<", " ").replace(">", " ").split(" ")[0] for spec in env.dependencies]
    about = next((spec for name, spec in zip(names, env.dependencies) if name and name in message), None)
    number = next((i for i, line in enumerate(env.path.read_text().splitlines(), 1) if about and about in line), None)
    return " ".join(lines) + (f" (line {number}: {about})" if number else "")


def locked(env: EnvFile) -> bytes:
    """The lock file's content. Raises ConfigError if there is none, or if the yml has changed since."""
    try:
        data = env.lock.read_bytes()
    except OSError:
        raise ConfigError(f"{env.path}: is not locked; type `hpcurate envs lock {env.name}`") from None
    if not data.startswith(f"{MARK}{env.digest}\n".encode()):
        raise ConfigError(f"{env.path}: has changed since it was locked; type `hpcurate envs lock {env.name}`")
    return data


# -- building ---------------------------------------------------------------------------------------


def prefix_of(env: EnvFile, store: str) -> str:
    """Path of the environment, built or not. Raises ConfigError as `locked`."""
    digest = hashlib.sha256(locked(env) + env.digest.encode()).hexdigest()[:12]
    return os.path.join(Store.at(store).envs, f"{env.name}-{digest}")


def is_built(prefix: str) -> bool:
    """Whether it is complete."""
    return MARKER in POSIX.names(prefix)


def build(env: EnvFile, store: str, echo: Echo = lambda line: None) -> str:
    """Build it unless that is done; its prefix. Raises ConfigError or StoreError."""
    prefix = prefix_of(env, store)
    os.makedirs(os.path.dirname(prefix), exist_ok=True)
    if is_built(prefix):
        echo(f"{env.name}: {prefix} is complete")
        return prefix
    with exclusive(prefix, "building") as turn:
        if not is_built(prefix):
            remove(prefix, store)  # what a killed build left
            folder = f"{prefix}.{turn}"
            _install(env, folder, echo)
            _pip(env, folder, echo)
            _post_install(env, folder, echo)
            facts = inspect_python([os.path.join(folder, "bin", "python")], str(env.path))
            provide_runtime(store, facts, echo)
            marker = {"name": env.name, "python": list(facts.version), "variables": activation_variables(folder)}
            POSIX.create(os.path.join(folder, MARKER), json.dumps(marker, indent=1).encode() + b"\n")
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


def _install(env: EnvFile, prefix: str, echo: Echo) -> None:
    rattler = _library()
    environment = rattler.LockFile.from_path(env.lock).default_environment()
    records = environment.conda_repodata_records_for_platform(environment.platforms()[0])
    echo(f"{env.name}: linking {len(records)} packages into {prefix}")
    try:
        asyncio.run(rattler.install(records, target_prefix=prefix, show_progress=sys.stderr.isatty()))
    except Exception as error:  # the library's errors have no common base
        raise StoreError(f"{env.name}: cannot be built: {' '.join(str(error).split())[:400]}") from None


def _pip(env: EnvFile, prefix: str, echo: Echo) -> None:
    if env.pip:
        echo(f"{env.name}: pip install {' '.join(env.pip)}")
        _run([os.path.join(prefix, "bin", "python"), "-m", "pip", "install", *env.pip], prefix, f"{env.path}: pip")


def _post_install(env: EnvFile, prefix: str, echo: Echo) -> None:
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
    """Variables that the packages' own activation scripts set, as a shell sees them."""
    before = activated(prefix, os.environ)
    scripts = sorted(Path(prefix, "etc", "conda", "activate.d").glob("*.sh"))
    if not scripts:
        return {}
    line = "".join(f'. "{script}" >/dev/null 2>&1; ' for script in scripts) + "env -0"
    done = subprocess.run(["bash", "-c", line], env=before, capture_output=True, check=False)
    after = dict(entry.split("=", 1) for entry in done.stdout.decode(errors="replace").split("\0") if "=" in entry)
    left = ("_", "SHLVL", "PWD", "OLDPWD", "PATH")
    return {key: value for key, value in after.items() if before.get(key) != value and key not in left}


def _library() -> Any:
    try:
        import rattler
        import rattler.platform
    except ImportError:
        raise ConfigError("envs: py-rattler is not installed here; pip install 'hpcurate[envs]'") from None
    return rattler
