"""What a stage imports and the current environment lacks. Reads sources; imports and runs nothing."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires
from typing import Any

from hpcurate.imports import Import, imports_of
from hpcurate.members import resolved_types
from hpcurate.model import Model
from hpcurate.planning.modules import find_module, installed
from hpcurate.stage import Stage, members
from hpcurate.task import Task

__all__ = ["extras_with", "lacking", "packages_of", "whole"]

_EVERYTHING = "*"
_OTHER_NAMES = {"PIL": "pillow", "cv2": "opencv-python-headless", "faiss": "faiss-cpu", "rattler": "py-rattler"}
"""Packages that pip calls otherwise than `import`."""


def lacking(stage: Stage[Any, Any], given: type[Task]) -> tuple[str, ...]:
    """The packages of the stage that are not found here."""
    return tuple(name for name in packages_of(stage, given) if not _is_here(name))


def extras_with(packages: Iterable[str]) -> tuple[str, ...]:
    """As few extras of hpcurate as have all of them; none where one of them is in no extra."""
    extras, left, found = _extras(), set(packages), list[str]()
    if not left <= set().union(*extras.values()):
        return ()
    while left:
        best = max(sorted(extras), key=lambda name: (len(extras[name] & left), -len(extras[name])))
        found.append(best)
        left -= extras[best]
    return tuple(sorted(found))


def whole() -> bool:
    """Whether all that the extras have is here, so that no shipped stage can lack anything."""
    return all(_is_here(name) for has in _extras().values() for name in has)


@functools.cache
def _extras() -> dict[str, frozenset[str]]:
    """Extra of hpcurate → what it has, as it is imported."""
    try:
        lines = requires("hpcurate") or []
    except PackageNotFoundError:  # a checkout that is not installed
        lines = []
    imported = {dist: name for name, dist in _OTHER_NAMES.items()}
    found: dict[str, set[str]] = {}
    for one in (re.match(r"([\w.-]+).*; extra == .(\w+)", line) for line in lines):
        if one and one[2] != "dev":
            found.setdefault(one[2], set()).add(imported.get(one[1], one[1].replace("-", "_")))
    return {name: frozenset(has) for name, has in found.items()}


def packages_of(stage: Stage[Any, Any], given: type[Task]) -> tuple[str, ...]:
    """Packages that are imported by what the stage's classes refer to, in whatever function, and those of its tasks.

    Followed are modules of `stages/` and the user's own, by absolute imports; what a `try` guards does not count.
    `given` is the class of the tasks that come in.
    """
    packages = {name.partition(".")[0] for name in _foreign(stage, given)}
    return tuple(sorted(packages - sys.stdlib_module_names - {"hpcurate"}))


def _is_here(package: str) -> bool:
    found = find_module(package)
    return bool(found.file or found.folders)


def _foreign(stage: Stage[Any, Any], given: type[Task]) -> set[str]:
    """Modules that are not followed."""
    seen: set[tuple[str, str]] = set()
    foreign: set[str] = set()
    waiting = list(_classes(stage, given))
    own = set(waiting)
    while waiting:
        module, name = waiting.pop()
        if (module, name) in seen or ((module, name) not in own and _is_model(module, name)):
            continue
        seen.add((module, name))
        source = _source(module)
        if source is None:
            foreign.add(module)
            continue
        for one in imports_of(source, None if name == _EVERYTHING else [name]):
            waiting.append(_place(one))
    return foreign


def _is_model(module: str, name: str) -> bool:
    """Whether it is a class of models: the one that a stage has counts, and no other that it could have had."""
    found = getattr(sys.modules.get(module), name, None)
    return isinstance(found, type) and issubclass(found, Model)


def _classes(stage: Stage[Any, Any], given: type[Task]) -> Iterator[tuple[str, str]]:
    """(module, class) of each member, its model and its tasks, and of their bases; a script runs only where it is."""
    kinds: list[type] = [kind for types in resolved_types(stage, given) for kind in types]
    kinds += [
        type(one) for member in members(stage) for one in (member, member.model) if isinstance(one, Stage | Model)
    ]
    for kind in (base for one in kinds for base in inspect.getmro(one)):
        if kind.__module__ != "__main__":
            yield kind.__module__, kind.__qualname__.partition(".")[0]


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
