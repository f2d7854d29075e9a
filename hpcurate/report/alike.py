"""Dead letters that raised the same error in the same place: one of them, and the names of the others."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import attrs

from hpcurate.report.dead_letters import LocatedDeadLetter
from hpcurate.report.tracebacks import of_the_checkout


@attrs.define
class Alike:
    """Of one error in one place."""

    example: LocatedDeadLetter
    """The first one."""
    trace: tuple[str, ...]
    """Its traceback, in whole lines."""
    others: list[str] = attrs.field(factory=list)
    """Names of the tasks of the others, in their order."""


def alike(dead: Iterable[LocatedDeadLetter], place: Callable[[str], str]) -> list[Alike]:
    """In the order of the first of each; `place` is where somebody edits a file. Pure but for that."""
    found: dict[tuple[object, ...], Alike] = {}
    for located in dead:
        letter = located.letter
        trace = tuple(of_the_checkout(letter.traceback, place)) if letter.traceback else ()
        key = (letter.stage, letter.error, _without_names(located), *(line for line in trace if line.startswith("  ")))
        if key in found:
            found[key].others.append(located.name)
        else:
            found[key] = Alike(located, trace)
    return list(found.values())


def _without_names(located: LocatedDeadLetter) -> str:
    """Its message without the task's own names and without numbers."""
    message, task = located.letter.message, located.letter.task or {}
    for name in (located.name, task.get("source"), located.letter.id):
        message = message.replace(str(name), "…") if name else message
    return re.sub(r"\d+", "N", message)
