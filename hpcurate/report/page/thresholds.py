"""Which threshold belongs to which measure, by the names of parameters. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from hpcurate.report.page.measures import Threshold
from hpcurate.spec import STAGE

_BOUND = re.compile(r"(min|max)_(\w+)")


def thresholds_of(parameters: Mapping[str, Any], target: str, fields: Collection[str]) -> dict[str, Threshold]:
    """Field → what a stage, or a member of a chain, asks of it; only of the fields that it may have measured.

    `max_black` is of `black`, `min_score` of Aesthetic of `aesthetic_score`, `threshold` of Motion of `motion`,
    `max_share` of TextShare of `text_share`.
    """
    found: dict[str, Threshold] = {}
    for name, own in _members(target, parameters):
        for key, value in own.items():
            bound = _BOUND.fullmatch(key)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not (bound or key == "threshold"):
                continue
            field = _field(name, bound[2] if bound else "", fields)
            if field:
                before = found.get(field, Threshold())
                most = bool(bound) and key.startswith("max")
                found[field] = Threshold(before.least, value) if most else Threshold(value, before.most)
    return found


def _members(target: str, parameters: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(name as a field would be called, parameters) of a stage, and of those in it."""
    yield snake(target.rpartition(":")[2].rpartition(".")[2]), parameters
    for value in parameters.values():
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict) and isinstance(inner.get(STAGE), dict):
                spec = inner[STAGE]
                yield from _members(str(spec.get("target", "")), spec.get("parameters", {}))


def _field(stage: str, word: str, fields: Collection[str]) -> str | None:
    """The field that is meant, if there is one."""
    wanted = [word, f"{stage}_{word}", f"{stage}.{word}"] if word else [stage, f"{stage}_score"]
    wanted += [stage] if stage.endswith(f"_{word}") else []
    return next((name for name in wanted if name in fields), None)


def snake(name: str) -> str:
    """`TextShare` → `text_share`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
