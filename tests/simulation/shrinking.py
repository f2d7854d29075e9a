"""Making a failing episode small: fewer people, fewer faults, fewer tasks, as long as the same invariant breaks."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from tests.simulation.episode import Result, play
from tests.simulation.plan import Plan

TRIES = 25
"""Seeds that are tried with each smaller plan: another plan has other interleavings."""


def smaller(plan: Plan) -> Iterator[Plan]:
    """Plans that lack one thing."""
    plain = Plan(tasks=1, workers=1, nodes=1, slowest_s=5.0)
    for field in attrs.fields(Plan):
        value, least = getattr(plan, field.name), getattr(plain, field.name)
        if value == least:
            continue
        yield attrs.evolve(plan, **{field.name: least})
        if isinstance(value, int) and not isinstance(value, bool) and value - least > 1:
            yield attrs.evolve(plan, **{field.name: value - 1})


def shrink(result: Result) -> Result:
    """The smallest that is found; without its trace."""
    kind, best = _kind(result), result
    progress = True
    while progress:
        progress = False
        for plan in smaller(best.plan):
            found = next((r for seed in _seeds(best.seed) if _kind(r := play(seed, plan)) == kind), None)
            if found is not None:
                best, progress = found, True
                break
    return best


def _seeds(first: int) -> list[int]:
    return [first, *(n for n in range(TRIES) if n != first)]


def _kind(result: Result) -> str:
    """The invariant that broke, or the type of the error."""
    return result.violation.partition(":")[0].partition("(")[0]


def settings_of(plan: Plan) -> str:
    """As `--set` takes them: what differs from the default."""
    default = Plan()
    differing = [f.name for f in attrs.fields(Plan) if getattr(plan, f.name) != getattr(default, f.name)]
    return " ".join(f"--set {name}={_text(getattr(plan, name))}" for name in differing)


def _text(value: object) -> str:
    return "+".join(value) if isinstance(value, tuple) else str(value)
