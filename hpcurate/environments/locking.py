"""Lock files: solving one with py-rattler, and reading the packages of one, ours or pixi's."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpcurate.environments.files import MARK, Buildable, EnvFile
from hpcurate.errors import ConfigError
from hpcurate.store.filesystem import POSIX

Echo = Callable[[str], None]


def lock(env: EnvFile, echo: Echo = lambda line: None) -> Path:
    """Solve for this machine's platform and write the lock file. Raises ConfigError with the solver's message."""
    rattler = library()
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
    numbered = [(path, *line) for path in (env.path, *env.features) for line in enumerate(path.open(), 1)]
    found = next(((path, number) for path, number, line in numbered if about and about in line), None)
    if found is None:
        return " ".join(lines)
    path, number = found
    return " ".join(lines) + f" (line {number}{'' if path == env.path else f' of {path}'}: {about})"


# -- reading ----------------------------------------------------------------------------------------


def conda_packages(env: Buildable) -> list[Any]:
    """What is to be linked, on this machine's platform. Raises ConfigError."""
    environment, platform = _environment(env)
    built = [package for package in environment.packages(platform) if "Source" in type(package).__name__]
    if built:
        raise ConfigError(_not_a_file(env, str(built[0].name), "pixi builds it from its source"))
    records: list[Any] = environment.conda_repodata_records_for_platform(platform)
    return records


def wheels(env: Buildable) -> list[str]:
    """pip's requirements of the locked PyPI packages, each with its SHA-256. Raises ConfigError."""
    environment, platform = _environment(env)
    return [_wheel(env, package) for package in environment.pypi_packages_for_platform(platform) or []]


def _wheel(env: Buildable, package: Any) -> str:
    location, name = str(package.location).partition("#")[0], str(package.name)
    if not location.endswith(".whl"):
        raise ConfigError(_not_a_file(env, name, f"{location} is no wheel"))
    digest = package.hashes.sha256 if package.hashes else None
    if not digest:
        raise ConfigError(_not_a_file(env, name, f"no SHA-256 is locked for {location}"))
    if "://" not in location:
        location = Path(env.lock.parent, location).resolve().as_uri()
    return f"{name} @ {location} --hash=sha256:{digest.hex()}"


def _not_a_file(env: Buildable, package: str, why: str) -> str:
    made_by_pixi = env.lock.parent / ".pixi" / "envs" / env.environment
    return (
        f"{env.lock}: {package} cannot be installed from the lock file: {why}; "
        f"lock a built package of it, or let pixi install the environment and name its prefix, env={made_by_pixi}"
    )


def _environment(env: Buildable) -> tuple[Any, Any]:
    """The environment in the lock file, and its platform that is this machine's. Raises ConfigError."""
    rattler = library()
    try:
        lock_file = rattler.LockFile.from_path(env.lock)
    except Exception as error:  # the library's errors have no common base
        raise ConfigError(f"{env.lock}: is no lock file that can be read: {' '.join(str(error).split())}") from None
    environment = lock_file.environment(env.environment)
    if environment is None:
        names = ", ".join(sorted(name for name, _ in lock_file.environments()))
        raise ConfigError(f"{env.lock}: has no environment {env.environment!r}; it has {names}")
    subdir = str(rattler.platform.Subdir.current())
    platforms = environment.platforms()
    found = next((platform for platform in platforms if str(platform.subdir) == subdir), None)
    if found is None:
        names = ", ".join(platform.name for platform in platforms)
        raise ConfigError(f"{env.lock}: {env.environment!r} is locked for {names}, not for {subdir}; lock it for that")
    return environment, found


def library() -> Any:
    """py-rattler. Raises ConfigError where it is not installed."""
    try:
        import rattler
        import rattler.platform
    except ImportError:
        raise ConfigError("envs: py-rattler is not installed here; pip install 'hpcurate[envs]'") from None
    return rattler
