"""Which saver: by its name, or the first that takes a value. Python 3.9."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any, Union

from hpcurate.errors import SavedError
from hpcurate.savers.arrays import ArraySaver
from hpcurate.savers.base import Saver, class_name, class_of, other_form
from hpcurate.savers.checkpoints import TensorsSaver, TorchSaver
from hpcurate.savers.documents import JsonSaver, NotebookSaver, TextSaver
from hpcurate.savers.figures import FigureSaver, SvgSaver
from hpcurate.savers.pickles import PickleSaver
from hpcurate.savers.tables import TableSaver

GROUP = "hpcurate.savers"
"""Of the entry points of savers of other distributions."""
OURS: Mapping[str, type[Saver]] = {
    "array": ArraySaver,
    "table": TableSaver,
    "notebook": NotebookSaver,
    "checkpoint": TensorsSaver,
    "torch": TorchSaver,
    "figure": FigureSaver,
    "svg": SvgSaver,
    "json": JsonSaver,
    "text": TextSaver,
    "pickle": PickleSaver,
}
"""By name, in the order in which a value is offered to them: a notebook is a dict, too."""
Named = Union[str, Saver, None]
"""What a caller says of the saver: a name, one of its own, or nothing."""


def chosen(value: Any, named: Named) -> tuple[str, Saver]:
    """(its name, the saver) for a value. Raises SavedError."""
    if named is not None:
        name, saver = saver_named(named)
        if not saver.takes(value):
            raise SavedError(f"saver {name!r} does not take a {_kind(value)}; {_remedy()}")
        return name, saver
    for name, make in [*installed().items(), *OURS.items()]:
        saver = made(name, make)
        if not saver.by_name_only and saver.takes(value):
            return name, saver
    other = other_form(value)
    raise SavedError(f"no saver takes a {_kind(value)}; {other + '; ' if other else ''}{_remedy()}")


def saver_named(named: Union[str, Saver]) -> tuple[str, Saver]:
    """By a name, or by `module:Class`; a saver is known by that of its class. Raises SavedError."""
    if isinstance(named, Saver):
        return class_name(type(named)), named
    known = {**OURS, **installed()}
    if named in known:
        return named, made(named, known[named])
    if ":" not in named:
        raise SavedError(f"saver {named!r}: there is none of that name here; there are {', '.join(known)}")
    return named, made(named, class_of(named, "the saver"))


def made(name: str, make: Any) -> Saver:
    """One saver. Raises SavedError where an entry point leads to something else."""
    if isinstance(make, metadata.EntryPoint):
        try:
            make = make.load()
        except Exception as error:  # a package may raise anything at import
            raise SavedError(f"saver {name!r} ({GROUP}): {type(error).__name__}: {error}") from None
    if not (isinstance(make, type) and issubclass(make, Saver)):
        raise SavedError(f"saver {name!r} is no subclass of hpcurate.savers.Saver but {make!r:.80}")
    return make()


@functools.lru_cache(maxsize=1)
def installed() -> Mapping[str, Any]:
    """Savers of other distributions, by name. Raises SavedError for a name that two have, or one of ours."""
    found: dict[str, Any] = {}
    for point in _points():
        if point.name in OURS or found.get(point.name, point) != point:
            raise SavedError(f"saver {point.name!r} ({point.value}): another one has that name; rename its entry point")
        found[point.name] = point
    return dict(sorted(found.items()))


def _points() -> Iterator[Any]:
    every: Any = metadata.entry_points()
    yield from every.select(group=GROUP) if hasattr(every, "select") else every.get(GROUP, ())  # before Python 3.10


def _kind(value: Any) -> str:
    return class_name(type(value)).replace(":", ".").replace("builtins.", "")


def _remedy() -> str:
    return (
        f"these are there: {', '.join([*installed(), *OURS])}; convert it, give a saver of your own (saver=MySaver()), "
        'or saver="pickle"'
    )
