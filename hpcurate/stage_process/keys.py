"""Keys of rows, for sort steps and group stages. Python 3.9."""

from __future__ import annotations

import json
from typing import Any, Callable, Optional

import msgspec

from hpcurate.errors import StageError
from hpcurate.group import GroupStage
from hpcurate.stage_process.raised import RAISED
from hpcurate.store.rows import codec
from hpcurate.task import Task

__all__ = ["Keyed", "Keys", "keys_by_field", "keys_by_method", "keys_of"]


class Keyed(msgspec.Struct):
    """What is known of some rows once they are read, in order."""

    keys: list[Any]
    """Of each; what `key` raised instead, where it did."""
    weights: list[float]


Keys = Callable[[bytes, int], Keyed]
"""(rows, each with its end; how many) → what is known of them."""


def keys_of(stage: GroupStage[Any, Any], kind: type[Task], root: Optional[str]) -> Keys:
    """Of rows of tasks of that class. `root` is for files that they name."""
    if type(stage).key is GroupStage.key:
        return keys_by_field(stage.group_by)
    return keys_by_method(stage, kind, root)


def keys_by_field(name: str) -> Keys:
    """The value of a field, without making tasks of the rows."""
    fields: list[Any] = [("key", Any, None), ("weight", Any, 1.0)]
    row: Any = msgspec.defstruct("Row", fields, rename={"key": name}, gc=False)
    decoder = msgspec.json.Decoder(row)

    def keys(data: bytes, count: int) -> Keyed:
        try:
            rows = decoder.decode_lines(data)
            return Keyed([one.key for one in rows], [one.weight for one in rows])
        except (msgspec.MsgspecError, UnicodeDecodeError):  # NaN, or names that are no text
            plain = [json.loads(line) for line in data.splitlines()]
            return Keyed([one.get(name) for one in plain], [one.get("weight", 1.0) for one in plain])

    return keys


def keys_by_method(stage: GroupStage[Any, Any], kind: type[Task], root: Optional[str]) -> Keys:
    """What the stage's `key` returns for each task."""
    rows = codec(kind, root)

    def keys(data: bytes, count: int) -> Keyed:
        tasks = rows.decode_rows(data, count)
        return Keyed([_key(stage, task) for task in tasks], [task.weight for task in tasks])

    return keys


def _key(stage: GroupStage[Any, Any], task: Task) -> Any:
    try:
        return stage.key(task)
    except AttributeError as error:
        if getattr(error, "obj", None) is not stage:  # Python 3.9 does not say whose
            return error
        name = f"{type(stage).__qualname__}.key() reads self.{error.name}"  # type: ignore[attr-defined, unused-ignore]
        return StageError(f"{name}, which is not there: where rows are sorted, setup() has not run")
    except RAISED as error:
        return error
