"""What the tasks of many shards amounted to: in, out, lost, left out, failed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpcurate.runs.folded import Folded, add_left_out, add_lost, add_reasons
from hpcurate.store.stats import Amounts, LeftOut, rounded, sum_amounts


def yields_of(given: Folded, again: Folded) -> dict[str, Any]:
    """Fields of `StageCounts`: of `given`, what came in, and of both the rest.

    `again` try dead letters of the others: those have come in once, and have not failed.
    """
    done = [*given.sums, *again.sums]
    failed = sum_amounts(s.amounts_failed for s in done if s.amounts_failed)
    tried = sum_amounts(s.amounts_in for s in again.sums)
    amounts_in = sum_amounts(s.amounts_in for s in given.sums)
    return {
        "amounts_in": amounts_in,
        "amounts_out": sum_amounts(s.amounts_out for s in done),
        "amounts_failed": {unit: left for unit, left in _less(failed, tried).items() if left > 0},
        "reasons": add_reasons(s.reasons for s in done),
        "lost": {reason: rounded(lost) for reason, lost in add_lost(s.lost for s in done).items()},
        "left_out": _rounded_left_out(add_left_out(s.left_out for s in done)),
        "unmeasured": given.unmeasured if amounts_in else 0,
    }


def _less(amounts: Amounts, other: Amounts) -> Amounts:
    return {unit: round(amount - other.get(unit, 0.0), 6) for unit, amount in amounts.items()}


def _rounded_left_out(left_out: Mapping[str, LeftOut]) -> dict[str, LeftOut]:
    return {reason: LeftOut(one.count, rounded(one.amounts)) for reason, one in left_out.items()}
