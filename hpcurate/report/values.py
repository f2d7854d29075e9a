"""What a stage has set of a task, and the parameters with which it did. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hpcurate.results import shown
from hpcurate.spec import STAGE, StageSpec

OWN = ("id", "parents")
"""Fields that say which task it is, and nothing about it."""


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that a stage has set: not there before, or otherwise. None of what is empty."""
    fields = after.items()
    return {k: v for k, v in fields if k not in OWN and v not in (None, "", [], {}) and before.get(k) != v}


def parameters_of(spec: StageSpec, member: str) -> dict[str, Any]:
    """Parameters that were given to a stage, or to the member of a chain that goes by that name."""
    name, members = re.sub(r"-\d+$", "", member), list(members_of(spec))
    found = next((one for one in members if one.target.rpartition(":")[2] == name), members[0])
    return dict(found.parameters)


def members_of(spec: StageSpec) -> Iterator[StageSpec]:
    """A stage, or the members of a chain, with the values of results where these are known."""
    inner = [one[STAGE] for one in spec.parameters.get("stages", ()) if isinstance(one, dict) and STAGE in one]
    for one in inner:
        yield from members_of(StageSpec(one["target"], one["parameters"]))
    if not inner:
        yield StageSpec(spec.target, shown(spec.parameters))
