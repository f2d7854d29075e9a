"""The tasks of the simulation, and what its stages have in common."""

from __future__ import annotations

from collections.abc import Callable, Collection

import attrs

from hpcurate import Task
from hpcurate.stage import Resources


@attrs.define(kw_only=True)
class Number(Task):
    """A number, and who made it what it is."""

    value: int
    made_by: str = ""
    """Nonces of the attempts that it went through: no two attempts have the same output."""


@attrs.define(kw_only=True)
class Note(Task):
    """Looks like a number, and is none: only its class says so."""

    value: int
    made_by: str = ""
    """See `Number`."""


class Works:
    """Of a stage whose work takes its time, and may kill."""

    version = 1
    deterministic = False
    resources = Resources(cpus=1, memory="1GB", time="2h")
    nonce = ""
    """Of the attempt."""
    work: Callable[[list[Number]], None] = staticmethod(lambda tasks: None)
    """Returns when the work is done, or never."""
    bugs: Collection[str] = ()
    """Tasks that fail here now."""
