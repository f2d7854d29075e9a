"""Keys of rows, for sort steps and group stages. Python 3.9."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Callable, Optional

import msgspec

from hpcurate.group import GroupStage
from hpcurate.stage_process.raised import RAISED
from hpcurate.store.rows import codec
from hpcurate.task import Task

__all__ = ["Keyed", "Keys", "keys_by_field", "keys_by_method", "keys_of"]


class Keyed(msgspec.Struct):
    """What is known of a row once it is read."""

    key: Any
    weight: float
    raised: Optional[BaseException] = None
    """By `key`, instead of a key."""


Keys = Callable[[bytes, int], Sequence[Keyed]]
"""(rows, each with its end; how many) → the key of each."""


def keys_of(stage: GroupStage[Any, Any], kind: type[Task], root: Optional[str]) -> Keys:
    """Of rows of tasks of that class. `root` is for files that they name."""
    if type(stage).key is GroupStage.key:
        return keys_by_field(stage.group_by)
    return keys_by_method(stage, kind, root)


def keys_by_field(name: str) -> Keys:
    """The value of a field, without making tasks of the rows."""
    row: Any = msgspec.defstruct("Row", [(name, Any, None), *([("weight", Any, 1.0)] if name != "weight" else [])])
    decoder = msgspec.json.Decoder(row)

    def keys(data: bytes, count: int) -> list[Keyed]:
        try:
            rows = decoder.decode_lines(data)
            return [Keyed(getattr(one, name), one.weight) for one in rows]
        except (msgspec.MsgspecError, UnicodeDecodeError):  # NaN, or names that are no text
            plain = map(json.loads, data.splitlines())
            return [Keyed(one.get(name), one.get("weight", 1.0)) for one in plain]

    return keys


def keys_by_method(stage: GroupStage[Any, Any], kind: type[Task], root: Optional[str]) -> Keys:
    """What the stage's `key` returns for each task."""
    rows = codec(kind, root)

    def keys(data: bytes, count: int) -> list[Keyed]:
        return [_keyed(stage, task) for task in rows.decode_rows(data, count)]

    return keys


def _keyed(stage: GroupStage[Any, Any], task: Task) -> Keyed:
    try:
        return Keyed(stage.key(task), task.weight)
    except RAISED as error:
        return Keyed(None, task.weight, error)
