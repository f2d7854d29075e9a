"""What `--cfg` and `--info` print: the configuration that a command line means, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpcurate.cli.start.compose import compose
from hpcurate.cli.start.overrides import Typed
from hpcurate.errors import ConfigError
from hpcurate.fields import suggestion


def part_of_config(typed: Typed) -> Any:
    """The resolved configuration, or with `--package` the part of that key. Raises ConfigError."""
    plain: Any = compose(typed.overrides, typed.paths, typed.config_dirs).draft()
    for key in typed.show_package.split(".") if typed.show_package else ():
        if not isinstance(plain, Mapping) or key not in plain:
            names = list(plain) if isinstance(plain, Mapping) else []
            raise ConfigError(f"--package {typed.show_package}: there is no such key; {suggestion(key, names)}")
        plain = plain[key]
    return plain


def info_lines(choices: Mapping[str, str], folders: Sequence[Path]) -> list[str]:
    """Folders in order of precedence, and the file of each group that was chosen. Pure but for looking for files."""
    lines = ["configuration is searched in, the first one first:", *(f"  {folder}" for folder in folders)]
    lines += ["", "chosen:", f"  config: {folders[-1] / 'config.yaml'}"]
    for group, choice in choices.items():
        files = [folder / group / f"{choice}.yaml" for folder in folders]
        where = next((path for path in files if path.is_file()), None)
        lines.append(f"  {group}={choice}: {where or 'not found'}")
    return [*lines, "", "then what is typed, then defaults: --cfg prints all of it, resolved"]
