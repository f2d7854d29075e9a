"""What a pipeline needs and its store does not have: said all at once, with the one command that installs it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from hpcurate.errors import ConfigError

__all__ = ["Need", "NotInstalled", "all_of"]


class Need(msgspec.Struct, frozen=True):
    """Weights, or an environment."""

    kind: str
    """`model`; `env`, to be built; `prefix`, somebody's own environment that is to be packed."""
    name: str
    command: str
    """What installs it alone."""
    to_node: bool = False
    """Of an environment: it is to be packed as well."""
    env: str | None = None
    """Of a model: the environment that loads it, where the stage names none."""


class NotInstalled(ConfigError):
    """Weights or environments are missing, and a command installs them."""

    def __init__(self, lacks: Mapping[str, Sequence[str]], needs: Iterable[Need], command: str = "") -> None:
        self.lacks = {what: tuple(keys) for what, keys in lacks.items()}
        """What is missing, each with the keys of the configuration that ask for it."""
        self.needs = tuple(dict.fromkeys(needs))
        """Each once."""
        typed = command or " && ".join(need.command for need in self.needs)
        lines = [_line(what, keys) for what, keys in self.lacks.items()]
        super().__init__(";\n".join([*lines, f"type `{typed}`"] if len(lines) > 1 else [f"{lines[0]}; type `{typed}`"]))

    def of(self, key: str, why: str = "") -> NotInstalled:
        """The same, said of a key of the configuration."""
        return NotInstalled({f"{what}{why}": [key] for what in self.lacks}, self.needs)


def _line(what: str, keys: Sequence[str]) -> str:
    """It stands once, however many stages need it."""
    others = ", ".join(key.rstrip(".: ") for key in keys[1:])
    return f"{keys[0] if keys else ''}{what}{f' (also {others})' if others else ''}"


def all_of(errors: Sequence[NotInstalled], command: str = "") -> NotInstalled:
    """As one; with the one command that installs everything, if there is one."""
    lacks: dict[str, list[str]] = {}
    for error in errors:
        for what, keys in error.lacks.items():
            lacks.setdefault(what, []).extend(keys)
    return NotInstalled(lacks, [need for error in errors for need in error.needs], command)
