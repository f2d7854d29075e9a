"""Where configuration lies: the conf folders, and what is in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hpcurate.errors import ConfigError


def shipped(name: str) -> Path:
    """A folder of data that comes with hpcurate, `conf` or `envs`: inside the package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def shipped_conf() -> Path:
    """The conf folder that comes with hpcurate."""
    return shipped("conf")


def conf_folders(more: Sequence[str] = ()) -> list[Path]:
    """Conf folders in order of precedence: named ones, the current folder's, ours."""
    own = Path.cwd() / "conf"
    found = [Path(folder).absolute() for folder in more]
    if own.is_dir() and own.resolve() != shipped_conf():
        found.append(own)
    return [*found, shipped_conf()]


def names_in(folders: Iterable[Path], group: str) -> list[str]:
    """Choices of a config group."""
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def read_yaml(path: Path) -> dict[str, Any]:
    """A config file on its own, nothing resolved. Raises ConfigError for what is not YAML."""
    import yaml

    try:
        plain = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    return plain if isinstance(plain, dict) else {}
