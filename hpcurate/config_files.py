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


def groups_in(folders: Iterable[Path]) -> list[str]:
    """Config groups: folders with choices."""
    return sorted({path.parent.name for folder in folders for path in folder.glob("*/*.yaml")})


def read_yaml(path: Path) -> dict[str, Any]:
    """A config file on its own, nothing resolved. Raises ConfigError for what cannot be read or is no mapping."""
    import yaml

    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(yaml_problem(error, str(path))) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not YAML: it is no UTF-8 text ({error.reason})") from None
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if plain is not None and not isinstance(plain, dict):
        raise ConfigError(f"{path}: expected lines of `key: value`, got a {type(plain).__name__}")
    return plain or {}


_NEED_QUOTES = {"found '?'": "???", "but got '{'": "${…}"}
"""End of a parser's message → what it was most likely about."""


def yaml_problem(error: Exception, path: str = "") -> str:
    """`FILE:LINE: not YAML: …` in one line, from an error of the parser; of a file, or of one that the error names."""
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    context = getattr(error, "context", None)
    where = path or (mark.name if mark else getattr(error, "name", "configuration"))
    line = f":{mark.line + 1}" if mark else ""
    bare = next((text for end, text in _NEED_QUOTES.items() if str(what).endswith(end)), "")
    quotes = f"; within braces and brackets, {bare} has quotes: '{bare}'" if bare else ""
    return " ".join(f"{where}{line}: not YAML: {what}{f' ({context})' if context else ''}{quotes}".split())


def not_text(folders: Iterable[Path]) -> Path | None:
    """A config file that is no UTF-8 text, which Hydra refuses without its name."""
    for path in (path for folder in folders for path in sorted(folder.rglob("*.yaml")) if path.is_file()):
        try:
            path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return path
    return None
