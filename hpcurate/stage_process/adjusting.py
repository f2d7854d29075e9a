"""Another value of a parameter, for a stage that is set up: only of those that its `setup` never saw. Python 3.9."""

from __future__ import annotations

from typing import Any

from hpcurate.errors import PipelineError
from hpcurate.spec import plain_value
from hpcurate.stage import Stage, constructor, members

__all__ = ["adjust", "can_adjust", "is_quick", "sets_up"]

OF_THE_ENGINE = frozenset({"_arguments", "_scope", "_upstream", "_types", "followers"})
"""Attributes of a stage that have nothing to do with its parameters."""


def sets_up(cls: type[Stage[Any, Any]]) -> bool:
    """Whether a stage of this class may hold something that was made before its first task."""
    methods = ("setup", "setup_on_node")
    return cls.model is not None or any(getattr(cls, name) is not getattr(Stage, name) for name in methods)


def is_quick(cls: type[Stage[Any, Any]], parameter: str) -> bool:
    """Whether a stage that is set up can be given another value of the parameter."""
    return parameter in cls.adjustable or not sets_up(cls)


def can_adjust(stage: Stage[Any, Any], fresh: Stage[Any, Any]) -> bool:
    """Whether `adjust` can give the stage the parameters of `fresh`. Pure."""
    pairs = list(zip(members(stage), members(fresh)))
    same = len(members(stage)) == len(members(fresh)) and all(type(mine) is type(new) for mine, new in pairs)
    return same and all(is_quick(type(mine), name) for mine, new in pairs for name in _changed(mine, new))


def _changed(mine: Stage[Any, Any], new: Stage[Any, Any]) -> set[str]:
    before, after = _written(mine), _written(new)
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def _written(stage: Stage[Any, Any]) -> dict[str, str]:
    """Its arguments, and the defaults of others, written: null is a value, 1 is not True, and NaN is NaN."""
    defaults = {name: one.default for name, one in constructor(type(stage)).items() if one.default is not one.empty}
    return {name: _as_text(value) for name, value in {**defaults, **stage.arguments()}.items()}


def _as_text(value: Any) -> str:
    try:
        return repr(plain_value(value))
    except PipelineError:  # a default that is an object of the class's own: the same one, always
        return repr(value)


def adjust(stage: Stage[Any, Any], fresh: Stage[Any, Any]) -> None:
    """Give a stage that is set up, or the members of a chain, the parameters of `fresh`, which is only constructed.

    Raises PipelineError where one of them needs a new set-up.
    """
    for mine, new in zip(members(stage), members(fresh)):
        if changed := _changed(mine, new):
            _adjust(mine, new, changed)


def _adjust(mine: Stage[Any, Any], new: Stage[Any, Any], changed: set[str]) -> None:
    cls = type(mine)
    fixed = sorted(name for name in changed if not is_quick(cls, name))
    if fixed:
        raise PipelineError(f"{cls.__qualname__}.{fixed[0]} needs a new set-up of the stage: it is not adjustable")
    whole = not sets_up(cls)
    for name in [*vars(mine)] if whole else ():
        if name not in OF_THE_ENGINE and name not in vars(new):  # made while it worked, perhaps from a parameter
            delattr(mine, name)
    for name, value in vars(new).items():
        if name not in OF_THE_ENGINE and (whole or name in changed):
            setattr(mine, name, value)
    vars(mine)["_arguments"] = new.arguments()
