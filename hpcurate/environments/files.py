"""Environment files: `envs/NAME.yml`, standard conda files, and `envs/NAME.post_install.sh` beside them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import attrs

from hpcurate.config_files import read_yaml, shipped
from hpcurate.errors import ConfigError
from hpcurate.fields import suggestion


@attrs.define(frozen=True)
class EnvFile:
    """What an environment contains."""

    name: str
    path: Path
    channels: tuple[str, ...]
    dependencies: tuple[str, ...]
    """conda's match specs."""
    pip: tuple[str, ...] = ()
    post_install: str = ""
    """Text of the script, run by bash in the environment."""

    @property
    def lock(self) -> Path:
        """The lock file, to be committed beside the yml."""
        return self.path.with_suffix(".lock")

    @property
    def digest(self) -> str:
        """Of everything above; the lock contains it, so that a changed file is noticed."""
        plain = [list(self.channels), list(self.dependencies), list(self.pip), self.post_install]
        return hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:16]


def env_folders() -> list[Path]:
    """Folders of environment files: the current folder's, and ours."""
    own, ours = Path.cwd() / "envs", shipped("envs")
    return [own, ours] if own.is_dir() and own.resolve() != ours else [ours]


def env_names(folders: Iterable[Path]) -> list[str]:
    """Names of all environment files."""
    return sorted({path.stem for folder in folders for path in folder.glob("*.yml")})


def read_env(name: str, folders: Iterable[Path]) -> EnvFile:
    """The environment of that name. Raises ConfigError with the nearest name."""
    folders = list(folders)
    for folder in folders:
        path = folder / f"{name}.yml"
        if path.is_file():
            return parse_env(name, path)
    raise ConfigError(
        f"env={name}: there is no envs/{name}.yml here; {suggestion(name, env_names(folders))}; "
        "or name the path of a prefix that holds bin/python"
    )


def parse_env(name: str, path: Path) -> EnvFile:
    """A checked environment file. Raises ConfigError."""
    plain = read_yaml(path)
    entries = plain.get("dependencies")
    if not isinstance(entries, list) or not entries:
        raise ConfigError(f"{path}: dependencies: expected a list such as [python=3.11, numpy]")
    conda = tuple(entry for entry in entries if isinstance(entry, str))
    pip = tuple(str(line) for entry in entries if isinstance(entry, dict) for line in entry.get("pip") or ())
    odd = [entry for entry in entries if not isinstance(entry, str) and set(entry or ()) != {"pip"}]
    if odd:
        raise ConfigError(f"{path}: dependencies: {odd[0]!r}: expected a package, or pip: with a list")
    if not any(entry.split("=")[0].split(" ")[0].strip("<>!") == "python" for entry in conda):
        raise ConfigError(f"{path}: dependencies: python is missing; a stage runs in it, write e.g. python=3.11")
    script = path.with_name(f"{name}.post_install.sh")
    channels = tuple(str(channel) for channel in plain.get("channels") or ("conda-forge",))
    return EnvFile(name, path, channels, conda, pip, script.read_text() if script.is_file() else "")
