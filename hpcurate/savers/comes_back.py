"""Whether a network that is constructed again is the one that was saved, up to its tensors. Python 3.9.

Compared are names, shapes, classes of its parts and what these keep in plain attributes: an activation, a rate.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from hpcurate.errors import SavedError
from hpcurate.savers.base import class_name

__all__ = ["check_comes_back"]

OF_THE_STATE = ("device", "dtype")
"""Parameters of constructors that say only what the tensors are, which come back as they were."""


def check_comes_back(module: Any, config: Mapping[str, Any]) -> None:
    """Construct its class again, without memory for weights where it can be. Raises SavedError where it is another."""
    kind = type(module).__qualname__
    remedy = f"say what it was made with, Checkpoint({kind.lower()}, {{…}}), or save {kind.lower()}.state_dict()"
    made = _constructed(type(module), config, remedy)
    said = next(_differences(module, made), "")
    if said:
        raise SavedError(f"{kind} would be read back as another one: {said}; {remedy}")
    unseen, hidden = _unseen(module, config), next(_hidden(module), "")
    if unseen and hidden:
        raise SavedError(
            f"{kind}: whether {', '.join(unseen)} had the default cannot be seen, as {hidden} cannot be compared; "
            f"{remedy}"
        )


def _constructed(kind: type, config: Mapping[str, Any], remedy: str) -> Any:
    import torch

    with torch.random.fork_rng(devices=[]):  # a stage's own numbers drawn by chance stay as they are
        try:
            with torch.device("meta"):
                return kind(**config)
        except Exception:  # it looks at its numbers, or this torch is older than 2.0
            pass
        try:
            return kind(**config)
        except Exception as error:  # a constructor of a user's
            raise SavedError(
                f"{kind.__qualname__} cannot be constructed again: {type(error).__name__}: {error!s:.200}; {remedy}"
            ) from None


def _differences(module: Any, made: Any) -> Iterator[str]:
    """In what the one that was made again differs, the first thing first."""
    parts, others = dict(module.named_modules()), dict(made.named_modules())
    yield from _of_names("part", parts, others)
    for name, part in parts.items():
        if class_name(type(part)) != class_name(type(others[name])):  # torch makes classes of parametrized parts
            yield f"{name or 'it'} is a {type(part).__qualname__}, and would be a {type(others[name]).__qualname__}"
    state, fresh = module.state_dict(), made.state_dict()
    yield from _of_names("tensor", state, fresh)
    for name, one in state.items():
        if getattr(one, "shape", None) != getattr(fresh[name], "shape", None):
            yield f"{name} is {tuple(one.shape)}, and would be {tuple(fresh[name].shape)}"
    for name, part in parts.items():
        here, there = _attributes(part), _attributes(others[name])
        for key in dict.fromkeys([*here, *there]):
            if not _same(here.get(key), there.get(key)):
                where = f"{name}.{key}" if name else key
                yield f"{where} is {_shown(here.get(key))}, and would be {_shown(there.get(key))}"


def _of_names(what: str, here: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[str]:
    for name in here.keys() ^ there.keys():
        yield f"it has {what} {name!r}, and would not" if name in here else f"it would have {what} {name!r}"


def _attributes(part: Any) -> dict[str, Any]:
    """What its class keeps in it beside tensors and parts."""
    import torch

    own = {*vars(torch.nn.Module()), "_compiled_call_impl"}
    return {key: value for key, value in vars(part).items() if key not in own}


def _shown(value: Any) -> str:
    return getattr(value, "__qualname__", None) or f"{value!r:.60}"


def _same(one: Any, other: Any) -> bool:
    """Whether they are equal, as far as that can be seen: see `_is_seen`."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    if inspect.isfunction(one):
        return bool(one.__code__ == other.__code__)
    if not _is_seen(one) or one is other:
        return True
    try:
        return bool(one == other) or bool(one != one)  # NaN
    except Exception:  # of a class of a user's, e.g. one with arrays
        return repr(one) == repr(other)


def _hidden(module: Any) -> Iterator[str]:
    """Names of attributes that cannot be compared; torch's own parts keep their settings plain."""
    users = ((name, part) for name, part in module.named_modules() if not type(part).__module__.startswith("torch."))
    for name, part in users:
        for key, value in _attributes(part).items():
            if not _is_seen(value):
                yield f"{name}.{key}" if name else key


def _is_seen(value: Any) -> bool:
    """Whether two such values can be compared: plain ones, classes, functions without values of their surroundings."""
    import torch

    if isinstance(value, dict):
        return all(map(_is_seen, value.values()))
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(_is_seen, value))
    if inspect.isfunction(value):
        return not value.__closure__
    plain = (bool, int, float, complex, str, bytes, type(None), type, torch.dtype, torch.device, torch.Size)
    return isinstance(value, plain) or inspect.isbuiltin(value) or _is_record(value)


def _is_record(value: Any) -> bool:
    """Of a class that compares by fields."""
    return any(hasattr(value, name) for name in ("__dataclass_fields__", "__attrs_attrs__", "__struct_fields__"))


def _unseen(module: Any, config: Mapping[str, Any]) -> list[str]:
    """Parameters with defaults that nobody has named, and that the network does not have as attributes."""
    found = inspect.signature(type(module)).parameters.values()
    named = [one for one in found if one.default is not one.empty and one.name not in (*config, *OF_THE_STATE)]
    return [one.name for one in named if not _is_seen(vars(module).get(one.name, module))]
