"""`~stages.quality`: leave a stage, a member of a chain, or a key of one out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

from hpcurate.errors import ConfigError
from hpcurate.fields import suggestion


def remove(stages: MutableMapping[str, Any], override: str) -> None:
    """Take what `~stages.…` names out of `stages`. Raises ConfigError where there is nothing of that name."""
    first, *rest = override.removeprefix("~stages.").split(".")
    inside, name = _owner(stages, first, override)
    for key in rest:
        inside, name = inside[name], key
        if not isinstance(inside, MutableMapping) or key not in inside:
            names = list(inside) if isinstance(inside, Mapping) else []
            raise ConfigError(f"{override}: there is no such key to leave out; {suggestion(key, names)}")
    del inside[name]
    _refuse_empty_chain(stages, override)


def _owner(stages: MutableMapping[str, Any], name: str, override: str) -> tuple[Any, str]:
    """The mapping that has the stage: all of them, or the members of a chain."""
    if name in stages:
        return stages, name
    chains = {owner: _members(entry) for owner, entry in stages.items()}
    owners = [owner for owner, members in chains.items() if name in members]
    if len(owners) > 1:
        full = " or ".join(f"~stages.{owner}.chain.{name}" for owner in owners)
        raise ConfigError(f"{override}: several chains have such a member; type {full}")
    if not owners:
        names = [*stages, *(member for members in chains.values() for member in members)]
        raise ConfigError(f"{override}: there is no such stage to leave out; {suggestion(name, names)}")
    return stages[owners[0]]["chain"], name


def _members(entry: Any) -> Mapping[str, Any]:
    chain = entry.get("chain") if isinstance(entry, Mapping) else None
    return chain if isinstance(chain, Mapping) else {}


def _refuse_empty_chain(stages: Mapping[str, Any], override: str) -> None:
    for name, entry in stages.items():
        if isinstance(entry, Mapping) and "chain" in entry and not _members(entry):
            raise ConfigError(f"{override}: nothing is left of the chain {name}; type ~stages.{name}")
