"""What a pipeline needs and its store does not have: said all at once, with the one command that installs it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from hpcurate.errors import ConfigError

__all__ = ["Need", "NotInstalled", "all_of"]


@attrs.define(frozen=True)
class Need:
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

    def __init__(self, lacks: Sequence[str], needs: Iterable[Need], command: str = "") -> None:
        self.lacks = tuple(lacks)
        """A line for each use."""
        self.needs = tuple(dict.fromkeys(needs))
        """Each once."""
        typed = command or " && ".join(need.command for need in self.needs)
        super().__init__(f"{'; '.join(self.lacks)}; type `{typed}`")

    def of(self, key: str, why: str = "") -> NotInstalled:
        """The same, said of a key of the configuration."""
        return NotInstalled([f"{key}{lack}{why}" for lack in self.lacks], self.needs)


def all_of(errors: Sequence[NotInstalled], command: str = "") -> NotInstalled:
    """As one; with the one command that installs everything, if there is one."""
    lacks = [lack for error in errors for lack in error.lacks]
    return NotInstalled(lacks, [need for error in errors for need in error.needs], command)
