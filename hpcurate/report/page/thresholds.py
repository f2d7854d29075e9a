"""Which threshold belongs to which measure: as filters wrote with their drops, else by parameters' names. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeGuard

from hpcurate.report.page.measures import Threshold
from hpcurate.report.rows import Plain

_BOUND = re.compile(r"(min|max)_(\w+)")

Members = Iterable[tuple[str, Mapping[str, Any]]]
"""(class, parameters as they were given) of a stage, or of the members of a chain."""


def thresholds_of(members: Members, fields: Collection[str]) -> dict[str, Threshold]:
    """Field → what a stage asks of it; only of fields that it may have measured.

    `max_black` is of `black`, `min_score` of Aesthetic of `aesthetic_score`, `threshold` of Motion of `motion`,
    `max_share` of TextShare of `text_share`.
    """
    found: dict[str, Threshold] = {}
    for name, parameters in members:
        for key, value in parameters.items():
            bound = _BOUND.fullmatch(key)
            if not _is_number(value) or not (bound or key == "threshold"):
                continue
            field = _field(snake(name), bound[2] if bound else "", fields)
            if field:
                before = found.get(field, Threshold())
                most = bool(bound) and key.startswith("max")
                found[field] = Threshold(before.least, value) if most else Threshold(value, before.most)
    return found


def threshold_of_drop(drop: Plain) -> tuple[str, Threshold] | None:
    """(field, what a filter asked of it), where a row of a drop says so."""
    measure, value, asked = drop.get("measure"), drop.get("value"), drop.get("threshold")
    if not isinstance(measure, str) or not (_is_number(value) and _is_number(asked)):
        return None
    return measure, Threshold(least=asked) if value < asked else Threshold(most=asked)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _field(stage: str, word: str, fields: Collection[str]) -> str | None:
    """The field that is meant, if there is one."""
    wanted = [word, f"{stage}_{word}", f"{stage}.{word}"] if word else [stage, f"{stage}_score"]
    wanted += [stage] if stage.endswith(f"_{word}") else []
    return next((name for name in wanted if name in fields), None)


def snake(name: str) -> str:
    """`TextShare` → `text_share`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
