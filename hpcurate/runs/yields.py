"""What the tasks of many shards amounted to: in, out, lost, left out, failed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hpcurate.store.stats import Amounts, Committed, LeftOut, sum_amounts


def yields_of(given: Sequence[Committed], done: Sequence[Committed], again: Sequence[Committed]) -> dict[str, Any]:
    """Fields of `StageCounts`: of `given`, what came in, and of `done`, which are those and `again`, the rest.

    `again` try dead letters of the others: those have come in once, and have not failed.
    """
    failed = sum_amounts(s.amounts_failed for s in done if s.amounts_failed)
    tried = sum_amounts(s.amounts_in for s in again)
    amounts_in = sum_amounts(s.amounts_in for s in given)
    return {
        "amounts_in": amounts_in,
        "amounts_out": sum_amounts(s.amounts_out for s in done),
        "amounts_failed": {unit: left for unit, left in _less(failed, tried).items() if left > 0},
        "reasons": _reasons(s.reasons for s in done if s.reasons),
        "lost": _lost(s.lost for s in done if s.lost),
        "left_out": _left_out(s.left_out for s in done if s.left_out),
        "unmeasured": sum(1 for s in given if s.tasks_in and not s.amounts_in) if amounts_in else 0,
    }


def _less(amounts: Amounts, other: Amounts) -> Amounts:
    return {unit: round(amount - other.get(unit, 0.0), 6) for unit, amount in amounts.items()}


def _reasons(shards: Iterable[Mapping[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for reasons in shards:
        for reason, count in reasons.items():
            found[reason] = found.get(reason, 0) + count
    return found


def _lost(shards: Iterable[Mapping[str, Amounts]]) -> dict[str, Amounts]:
    by_reason: dict[str, list[Amounts]] = {}
    for lost in shards:
        for reason, amounts in lost.items():
            by_reason.setdefault(reason, []).append(amounts)
    return {reason: sum_amounts(many) for reason, many in by_reason.items()}


def _left_out(shards: Iterable[Mapping[str, LeftOut]]) -> dict[str, LeftOut]:
    by_reason: dict[str, list[LeftOut]] = {}
    for left_out in shards:
        for reason, one in left_out.items():
            by_reason.setdefault(reason, []).append(one)
    return {
        reason: LeftOut(sum(one.count for one in many), sum_amounts(one.amounts for one in many))
        for reason, many in by_reason.items()
    }
