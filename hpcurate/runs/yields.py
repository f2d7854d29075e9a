"""What the tasks of many shards amounted to: in, out, lost, left out, failed. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hpcurate.store.stats import Amounts, Committed, LeftOut, add_amounts, rounded, sum_amounts


def yields_of(given: Sequence[Committed], done: Sequence[Committed], again: Sequence[Committed]) -> dict[str, Any]:
    """Fields of `StageCounts`: of `given`, what came in, and of `done`, which are those and `again`, the rest.

    `again` try dead letters of the others: those have come in once, and have not failed.
    """
    failed = sum_amounts(s.amounts_failed for s in done if s.amounts_failed)
    tried = sum_amounts(s.amounts_in for s in again)
    amounts_in = sum_amounts(s.amounts_in for s in given if s.amounts_in)
    return {
        "amounts_in": amounts_in,
        "amounts_out": sum_amounts(s.amounts_out for s in done if s.amounts_out),
        "amounts_failed": {unit: left for unit, left in _less(failed, tried).items() if left > 0},
        "reasons": dict(_reasons(s.reasons for s in done if s.reasons)),
        "lost": _lost(s.lost for s in done if s.lost),
        "left_out": _left_out(s.left_out for s in done if s.left_out),
        "unmeasured": sum(1 for s in given if s.tasks_in and not s.amounts_in) if amounts_in else 0,
    }


def _less(amounts: Amounts, other: Amounts) -> Amounts:
    return {unit: round(amount - other.get(unit, 0.0), 6) for unit, amount in amounts.items()}


def _reasons(shards: Iterable[Mapping[str, int]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for reasons in shards:
        found.update(reasons)
    return found


def _lost(shards: Iterable[Mapping[str, Amounts]]) -> dict[str, Amounts]:
    found: dict[str, Amounts] = {}
    for lost in shards:
        for reason, amounts in lost.items():
            add_amounts(found.setdefault(reason, {}), amounts)
    return {reason: rounded(amounts) for reason, amounts in found.items()}


def _left_out(shards: Iterable[Mapping[str, LeftOut]]) -> dict[str, LeftOut]:
    found: dict[str, LeftOut] = {}
    for left_out in shards:
        for reason, one in left_out.items():
            found[reason] = found[reason] + one if reason in found else one
    return found
