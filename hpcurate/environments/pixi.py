"""Environments of an existing `pixi.lock`: `pixi:/path/to/project`, or `pixi:/path/to/project:ENVIRONMENT`.

Its packages are installed as they are locked; pixi itself is not needed. What a project sets in `[activation]` is in no
lock file and does not count here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from hpcurate.environments.files import DEFAULT, Buildable, read_env
from hpcurate.errors import ConfigError

PIXI = "pixi:"
LOCK = "pixi.lock"
_FILES = (LOCK, "pixi.toml", "pyproject.toml")


class PixiEnv(msgspec.Struct, frozen=True):
    """One environment of a pixi project."""

    path: Path
    """Its pixi.lock."""
    environment: str = DEFAULT
    pip: tuple[str, ...] = ()
    post_install: str = ""

    @property
    def lock(self) -> Path:
        """The file itself."""
        return self.path

    @property
    def name(self) -> str:
        """Of project and environment, as a file name."""
        parts = ["pixi", self.path.parent.name, *([self.environment] if self.environment != DEFAULT else [])]
        return re.sub(r"[^\w.-]", "_", "-".join(parts))

    @property
    def digest(self) -> str:
        """Which environment of the lock file it is."""
        return self.environment

    def locked(self) -> bytes:
        """The lock file's content. Raises ConfigError."""
        try:
            return self.path.read_bytes()
        except OSError:
            raise ConfigError(
                f"env={PIXI}{self.path.parent}: there is no {LOCK} there; type `pixi lock` in the project"
            ) from None


def read_pixi(env: str) -> PixiEnv:
    """The environment of `pixi:PROJECT[:ENVIRONMENT]`; a project is its folder, or a file of pixi's in it."""
    named = env.removeprefix(PIXI)
    path, _, environment = named.rpartition(":")
    if not path or os.path.exists(os.path.expanduser(named)):  # a path may contain a colon
        path, environment = named, DEFAULT
    project = Path(os.path.abspath(os.path.expanduser(path)))
    return PixiEnv(project.parent / LOCK if project.name in _FILES else project / LOCK, environment or DEFAULT)


def find_env(env: str, folders: Iterable[Path]) -> Buildable:
    """A name of `envs/`, or an environment of a pixi.lock. Raises ConfigError."""
    return read_pixi(env) if env.startswith(PIXI) else read_env(env, folders)
