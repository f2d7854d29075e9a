"""What tasks amount to, as they say themselves. Never a reason for a task to fail. Python 3.9."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Union

from hpcurate.masks import mask
from hpcurate.stage_process.raised import RAISED
from hpcurate.store.stats import Amounts, add_amounts
from hpcurate.task import Task

MOST_UNITS = 16
"""Of one task: a unit is a name such as `seconds`, and not something of the task's own."""
LONGEST = 80
"""Characters of a value in words."""
_wrong: set[type] = set()
"""Classes of which it was printed that their amounts cannot be used."""


def amounts_of_all(tasks: Sequence[Task], kind: type[Task]) -> Amounts:
    """Those of all of them, which are of one class, or of several and `kind` is Task, added up."""
    total: Amounts = {}
    if kind.amounts is not Task.amounts or kind is Task:
        for task in tasks:
            add_amounts(total, amounts_of(task))
    return total


def amounts_of(task: Task) -> Amounts:
    """What the task says; nothing where it raises, or says what cannot be added up. Then that is printed, once."""
    kind = type(task)
    if kind.amounts is Task.amounts:
        return {}
    try:
        return numbers(task.amounts())
    except RAISED as error:
        if kind not in _wrong:
            _wrong.add(kind)
            why = mask(f"{type(error).__name__}: {plain(error)}")
            print(f"{kind.__qualname__}.amounts(): {why}; the amounts of such tasks are not counted", flush=True)
        return {}


def numbers(amounts: Mapping[Any, Any]) -> Amounts:
    """The same as finite numbers. Raises TypeError and ValueError."""
    if len(amounts) > MOST_UNITS:
        raise ValueError(f"{len(amounts)} units; expected {MOST_UNITS} at most, such as seconds and bytes")
    found = {unit: float(amount) for unit, amount in amounts.items()}
    for unit, amount in found.items():
        if not isinstance(unit, str) or not math.isfinite(amount):
            raise ValueError(f"{unit!r}: {amount!r}; expected the name of a unit, and a finite number")
    return found


def plain(value: object) -> Union[float, str, None]:
    """A finite number, else the value in words: it is for people to read. Whatever it is, this does not raise."""
    try:
        number = math.nan if value is None or isinstance(value, (str, bytes)) else float(value)  # type: ignore[arg-type]
    except RAISED:
        number = math.nan
    if math.isfinite(number):
        return number
    try:
        return None if value is None else mask(str(value))[:LONGEST]
    except RAISED:
        return f"a {type(value).__name__}"
