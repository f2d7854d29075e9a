"""Environment files: `envs/NAME.yml`, standard conda files, and `envs/NAME.post_install.sh` beside them.

What several environments share is a feature: `envs/features/FEATURE.yml`, a part of such a file, with its own
`FEATURE.post_install.sh`. A file that names `features: [core, vision]` is composed of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from hpcurate.config_files import read_yaml, shipped
from hpcurate.errors import ConfigError
from hpcurate.fields import suggestion

MARK = "# hpcurate locked this for the file with the digest "
DEFAULT = "default"
"""Name of an environment in a lock file that says no other."""


class Buildable(Protocol):
    """An environment with a lock file, which can be built from it."""

    @property
    def name(self) -> str:
        """In the name of its prefix."""

    @property
    def path(self) -> Path:
        """The file that messages name."""

    @property
    def lock(self) -> Path:
        """The lock file."""

    @property
    def environment(self) -> str:
        """Its name within the lock file."""

    @property
    def digest(self) -> str:
        """What distinguishes it beside the lock file's content."""

    @property
    def pip(self) -> tuple[str, ...]:
        """What its own pip installs at the end."""

    @property
    def post_install(self) -> str:
        """Text of the script, run by bash in the environment; empty: none."""

    def locked(self) -> bytes:
        """The lock file's content. Raises ConfigError if there is none, or if it is not for this environment."""


class EnvFile(msgspec.Struct, frozen=True):
    """What an environment contains."""

    name: str
    path: Path
    channels: tuple[str, ...]
    dependencies: tuple[str, ...]
    """conda's match specs."""
    pip: tuple[str, ...] = ()
    post_install: str = ""
    features: tuple[Path, ...] = ()
    """Files of the features that it is composed of."""
    environment: str = DEFAULT

    @property
    def lock(self) -> Path:
        """The lock file, to be committed beside the yml."""
        return self.path.with_suffix(".lock")

    @property
    def digest(self) -> str:
        """Of everything that is installed; the lock contains it, so that a changed file, or feature, is noticed."""
        plain = [list(self.channels), list(self.dependencies), list(self.pip), self.post_install]
        return hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:16]

    def locked(self) -> bytes:
        """The lock file's content. Raises ConfigError if there is none, or if the yml has changed since."""
        try:
            data = self.lock.read_bytes()
        except OSError:
            raise ConfigError(f"{self.path}: is not locked; type `hpcurate envs lock {self.name}`") from None
        if not data.startswith(f"{MARK}{self.digest}\n".encode()):
            shown = f" ({', '.join(path.stem for path in self.features)})" if self.features else ""
            what = f"or one of its features{shown} has" if self.features else "has"
            raise ConfigError(f"{self.path}: {what} changed since it was locked; type `hpcurate envs lock {self.name}`")
        return data


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
            return parse_env(name, path, folders)
    raise ConfigError(
        f"env={name}: there is no envs/{name}.yml here; {suggestion(name, env_names(folders))}; "
        "or name the path of a prefix that holds bin/python"
    )


def parse_env(name: str, path: Path, folders: Sequence[Path] = ()) -> EnvFile:
    """A checked environment file; its features lie in `features/` beside it or in `folders`. Raises ConfigError."""
    own = _read_part(path)
    features = [_find_feature(path, name, [path.parent, *folders]) for name in own.features]
    parts = [*map(_read_feature, features), own]
    found = EnvFile(
        name,
        path,
        _union(part.channels for part in parts) or ("conda-forge",),
        _union(part.dependencies for part in parts),
        _union(part.pip for part in parts),
        "\n".join(part.post_install for part in parts if part.post_install),
        tuple(features),
    )
    if not found.dependencies:
        raise ConfigError(f"{path}: dependencies: expected a list such as [python=3.11, numpy]")
    if not any(entry.split("=")[0].split(" ")[0].strip("<>!") == "python" for entry in found.dependencies):
        raise ConfigError(f"{path}: dependencies: python is missing; a stage runs in it, write e.g. python=3.11")
    return found


# -- its parts --------------------------------------------------------------------------------------


class _Part(msgspec.Struct, frozen=True):
    """What one file says."""

    channels: tuple[str, ...]
    dependencies: tuple[str, ...]
    pip: tuple[str, ...]
    post_install: str
    features: tuple[str, ...]


def _read_part(path: Path) -> _Part:
    plain = read_yaml(path)
    entries = _list(plain, "dependencies", path, "[python=3.11, numpy]")
    odd = [entry for entry in entries if not isinstance(entry, str) and set(entry or ()) != {"pip"}]
    if odd:
        raise ConfigError(f"{path}: dependencies: {odd[0]!r}: expected a package, or pip: with a list")
    script = path.with_suffix(".post_install.sh")
    return _Part(
        channels=tuple(map(str, _list(plain, "channels", path, "[conda-forge]"))),
        dependencies=tuple(entry for entry in entries if isinstance(entry, str)),
        pip=tuple(str(line) for entry in entries if isinstance(entry, dict) for line in entry.get("pip") or ()),
        post_install=script.read_text() if script.is_file() else "",
        features=tuple(map(str, _list(plain, "features", path, "[core, vision]"))),
    )


def _read_feature(path: Path) -> _Part:
    part = _read_part(path)
    if part.features:
        raise ConfigError(f"{path}: features: a feature is not composed of others; name them in the environment's file")
    return part


def _find_feature(path: Path, name: str, folders: Iterable[Path]) -> Path:
    places = [folder / "features" for folder in folders]
    for place in places:
        if (place / f"{name}.yml").is_file():
            return place / f"{name}.yml"
    raise ConfigError(f"{path}: features: there is no envs/features/{name}.yml; {suggestion(name, env_names(places))}")


def _list(plain: dict[str, Any], key: str, path: Path, example: str) -> list[Any]:
    found = plain.get(key) or []
    if not isinstance(found, list):
        raise ConfigError(f"{path}: {key}: expected a list such as {example}")
    return found


def _union(parts: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """Each once, in order. Two specs of one package both stand: the solver takes what satisfies both. Pure."""
    return tuple(dict.fromkeys(entry for part in parts for entry in part))
