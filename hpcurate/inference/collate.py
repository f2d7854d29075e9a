"""From the fields of several tasks to one batch, and from the results of a batch back to one result per task. Pure.

Arrays of numpy and tensors of torch are treated alike, and never mixed. Runs in every stage environment: Python 3.9
or newer.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from hpcurate.errors import StageError
from hpcurate.fields import suggestion

__all__ = ["MODES", "collate", "is_tensor", "named", "split"]

MODES = ("stack", "pad", "list", "none")
"""What can become of a field: one array with a new first axis; the same, padded to the longest; a list; nothing."""


def collate(
    ids: Sequence[str], loaded: Sequence[Mapping[str, Any]], modes: Mapping[str, str], fill: Mapping[str, float]
) -> dict[str, Any]:
    """One batch of the fields that were loaded for each of the tasks `ids`.

    A field that `modes` does not name is a list. A padded field NAME gets `NAME_mask` beside it: True where a task's
    own values are, of shape (tasks, longest). Raises StageError that names the field and the tasks.
    """
    names = _names(ids, loaded, modes)
    batch: dict[str, Any] = {}
    for name in names:
        mode, values = modes.get(name, "list"), [one[name] for one in loaded]
        if mode == "list":
            batch[name] = values
        elif mode == "stack":
            arrays = _arrays(name, ids, values)
            _check_alike(name, ids, arrays, first_axis=0)
            batch[name] = _stacked(arrays)
        elif mode == "pad":
            arrays = _arrays(name, ids, values)
            _check_alike(name, ids, arrays, first_axis=1)
            batch[name], batch[f"{name}_mask"] = _padded(arrays, fill.get(name, 0))
    return batch


def split(result: Any, ids: Sequence[str], where: str = "") -> list[Any]:
    """What `inference` returned for the tasks `ids`, as one result for each.

    An array or a tensor is split along its first axis, a list is what it is; a tuple of these becomes a tuple for
    each task, a dict a dict. Raises StageError that names the tasks if there are not as many as tasks.
    """
    if isinstance(result, Mapping):
        columns = {name: split(value, ids, f"{where}[{name!r}]") for name, value in result.items()}
        return [{name: column[n] for name, column in columns.items()} for n in range(len(ids))]
    if isinstance(result, tuple):
        side_by_side = [split(value, ids, f"{where}[{n}]") for n, value in enumerate(result)]
        return [tuple(column[n] for column in side_by_side) for n in range(len(ids))]
    if not isinstance(result, list) and not hasattr(result, "shape"):
        raise StageError(
            f"{_what(where)} is a {type(result).__name__} for {named(ids)}; return an array, a tensor or a list with "
            "one result per task, or a tuple or dict of these"
        )
    if hasattr(result, "shape") and not len(result.shape):
        raise StageError(f"{_what(where)} is a single value for {named(ids)}; expected one per task, on the first axis")
    if len(result) != len(ids):
        raise StageError(f"{_what(where)} has {len(result)} results for {named(ids)}; expected one per task, in order")
    return [result[n] for n in range(len(ids))]


def named(ids: Sequence[str]) -> str:
    """`4 tasks ('a', 'b', 'c', …)`."""
    shown = [repr(task) for task in ids[:3]] + ["…"] * (len(ids) > 3)
    return f"{len(ids)} {'task' if len(ids) == 1 else 'tasks'} ({', '.join(shown)})"


def is_tensor(value: Any) -> bool:
    """Whether it is torch's; torch is not imported for that."""
    tensor = getattr(sys.modules.get("torch"), "Tensor", None)
    return tensor is not None and isinstance(value, tensor)


def _what(where: str) -> str:
    return f"what inference() returned{where and f', {where},'}"


def _names(ids: Sequence[str], loaded: Sequence[Mapping[str, Any]], modes: Mapping[str, str]) -> list[str]:
    names = list(loaded[0]) if loaded else []
    for task, one in zip(ids, loaded):
        if one.keys() != loaded[0].keys():
            raise StageError(
                f"load() returned {_listed(names)} for task {ids[0]!r} and {_listed(one)} for task {task!r}; "
                "the tasks of a batch have the same fields, so return None, or an empty array, where one has nothing"
            )
    for name, mode in modes.items():
        if loaded and name not in names:
            raise StageError(f"collate[{name!r}]: load() returns no such field; {suggestion(name, names)}")
        if mode == "pad" and f"{name}_mask" in names:
            raise StageError(f"collate[{name!r}]='pad' makes {name}_mask, and load() returns one, too; rename yours")
    return names


def _listed(names: Any) -> str:
    return ", ".join(names) or "nothing"


def _arrays(name: str, ids: Sequence[str], values: Sequence[Any]) -> list[Any]:
    """Tensors as they are; all else as numpy has it."""
    arrays = []
    for task, value in zip(ids, values):
        array = value if is_tensor(value) else _array(value)
        if array is None:
            raise StageError(f"{name} of task {task!r} is a {type(value).__name__}: no array of numbers; use 'list'")
        arrays.append(array)
    return arrays


def _array(value: Any) -> Any:
    """As an array of numpy; None for what has no numbers in it, or rows of different length."""
    import numpy

    try:
        array = numpy.asarray(value)
    except ValueError:
        return None
    return array if array.dtype.kind in "biufcmM" else None


def _check_alike(name: str, ids: Sequence[str], arrays: Sequence[Any], *, first_axis: int) -> None:
    """Raise StageError unless all have one type and, from axis `first_axis` on, one shape."""
    for task, array in zip(ids, arrays):
        if len(array.shape) < first_axis:
            raise StageError(f"{name} of task {task!r} is a single value, which has no length to pad; use 'stack'")
        if _kind(array, first_axis) != _kind(arrays[0], first_axis):
            other = (
                "convert one, or use 'list'" if first_axis else "use 'pad' if only their first axis differs, or 'list'"
            )
            raise StageError(
                f"{name} is {_shown(arrays[0])} for task {ids[0]!r} and {_shown(array)} for task {task!r}, "
                f"which do not fit into one array; {other}"
            )


def _kind(array: Any, first_axis: int) -> tuple[Any, ...]:
    return is_tensor(array), array.dtype, len(array.shape), tuple(array.shape[first_axis:])


def _shown(array: Any) -> str:
    return f"{'a tensor' if is_tensor(array) else 'an array'} of {array.dtype} {tuple(array.shape)}"


def _stacked(arrays: Sequence[Any]) -> Any:
    if is_tensor(arrays[0]):
        import torch

        return torch.stack(list(arrays))
    import numpy

    return numpy.stack(arrays)


def _padded(arrays: Sequence[Any], fill: float) -> tuple[Any, Any]:
    """(the values, filled up behind; which of them are the tasks' own)."""
    longest = max(len(array) for array in arrays)
    whole = _full(arrays[0], (len(arrays), longest, *arrays[0].shape[1:]), fill)
    own = _full(arrays[0], (len(arrays), longest), False)
    for row, own_row, array in zip(whole, own, arrays):
        row[: len(array)] = array
        own_row[: len(array)] = True
    return whole, own


def _full(like: Any, shape: tuple[int, ...], fill: Any) -> Any:
    """An array of that shape; of booleans where `fill` is one, else of the type of `like`."""
    if is_tensor(like):
        import torch

        return like.new_full(shape, fill, dtype=torch.bool if fill is False else like.dtype)
    import numpy

    return numpy.full(shape, fill, dtype=bool if fill is False else like.dtype)
