"""When the interpreter looks for garbage: not while modules are imported, and not where a process ends soon.

By default it looks whenever there are 700 objects more, and again at its end. That is a fifth of the time of a gate, or
of a command that only looks, and all that it looks through is in use.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

MANY = 1_000_000
"""Objects more than before. `start.py`, which imports nothing of ours, has the same number."""
_USUAL = (700, 10, 10)


def put_off() -> None:
    """From the start of a process."""
    gc.set_threshold(MANY)


def as_usual() -> None:
    """Where work begins that may last: from now on among what is new. Nothing changes where it was not put off."""
    if gc.get_threshold()[0] == MANY:
        gc.freeze()
        gc.set_threshold(*_USUAL)


def left_to_the_end() -> None:
    """The last thing that a process does: what there is goes with it, and nobody looks through it before."""
    gc.freeze()


@contextmanager
def uncollected() -> Iterator[None]:
    """None while much is made that stays: each search would look at all of it, and find that it is in use."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
