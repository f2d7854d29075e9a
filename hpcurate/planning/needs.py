"""What a stage imports and the current environment lacks. Reads sources; imports and runs nothing."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any

from hpcurate.imports import Import, imports_of
from hpcurate.model import Model
from hpcurate.planning.modules import find_module, installed
from hpcurate.stage import Stage, members

__all__ = ["lacking"]

_EVERYTHING = "*"


def lacking(stage: Stage[Any, Any]) -> tuple[str, ...]:
    """Packages that are imported by what the stage's classes refer to, in whatever function, and not found here.

    Followed are modules of `stages/` and the user's own, by absolute imports; what a `try` guards does not count.
    """
    packages = {name.partition(".")[0] for name in _foreign(stage)}
    return tuple(sorted(name for name in packages if not _is_here(name)))


def _is_here(package: str) -> bool:
    found = find_module(package)
    return package in sys.stdlib_module_names or bool(found.file or found.folders)


def _foreign(stage: Stage[Any, Any]) -> set[str]:
    """Modules that are not followed."""
    seen: set[tuple[str, str]] = set()
    foreign: set[str] = set()
    waiting = list(_classes(stage))
    while waiting:
        module, name = waiting.pop()
        if (module, name) in seen:
            continue
        seen.add((module, name))
        source = _source(module)
        if source is None:
            foreign.add(module)
            continue
        for one in imports_of(source, None if name == _EVERYTHING else [name]):
            waiting.append(_place(one))
    return foreign


def _classes(stage: Stage[Any, Any]) -> Iterator[tuple[str, str]]:
    """(module, class) of each member, of its model, and of their bases; a script itself runs only where it is."""
    for member in members(stage):
        for one in (member, *([member.model] if isinstance(member.model, Model) else [])):
            kinds = [kind for kind in inspect.getmro(type(one)) if kind.__module__ != "__main__"]
            yield from ((kind.__module__, kind.__qualname__.partition(".")[0]) for kind in kinds)


def _place(one: Import) -> tuple[str, str]:
    """Where what is imported stands; of a module that only runs, nothing more."""
    if one.name and _is_followed(one.module) and not find_module(f"{one.module}.{one.name}").file:
        return one.module, one.name if one.used else ""
    module = f"{one.module}.{one.name}" if one.name and _is_followed(one.module) else one.module
    return module, _EVERYTHING if one.used else ""


def _source(module: str) -> str | None:
    """Of a module that is followed; None for others."""
    if not _is_followed(module):
        return None
    path = find_module(module).file
    return path.read_text(encoding="utf-8", errors="replace") if path and path.suffix == ".py" else ""


def _is_followed(module: str) -> bool:
    """Whether it is a stage's own code: shipped, or the user's."""
    top = module.partition(".")[0]
    if top == "stages":
        return True
    found = find_module(top)
    places = [*([found.file] if found.file else []), *found.folders]
    return bool(places) and top != "hpcurate" and not any(map(installed, places))
